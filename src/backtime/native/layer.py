"""One layer in the engine, in one direction or in both at once."""

from typing import Any, NamedTuple

import numpy as np

from backtime import _engine
from backtime.native.arrays import contiguous, empty, empty_like, split_input
from backtime.native.options import engine_options, kernel
from backtime.reference.weights import Array, Integers, Weights, each

State = tuple[Array, ...]


class Direction(NamedTuple):
    """One direction of a layer, as the engine takes it."""

    reverse: bool
    state: State
    weights: Weights
    options: tuple[Any, ...]  # activation, output, coupled, keep_h, keep_c, h_mask, cut; or none of them


class Saved(NamedTuple):
    """What the engine's backward pass reads again: its own gates and the arrays of the call."""

    kept: list[Any]  # of each direction the engine's gates and cell states
    x: Array | Integers
    directions: list[Direction]
    y: Array


def can_run(x: Array | Integers, weights: Weights) -> str | None:
    """None when the engine can do this call, else the reason why not."""
    dtype = weights.Wx.dtype
    if dtype != np.float32 and dtype != np.float64:
        return f"dtype {dtype} is neither float32 nor float64"
    if any(w.dtype != dtype for w in weights if w is not None) or (x.dtype.kind == "f" and x.dtype != dtype):
        return "x and the weights differ in dtype"
    if 0 in x.shape or 0 in weights.Wh.shape:
        return "the input is empty"
    return None


def direction(
    cell: str,
    B: int,
    state: State | None,
    weights: Weights,
    batch_sizes: Integers | None,
    reverse: bool,
    options: dict[str, Any],
) -> Direction:
    """The arrays of one direction made contiguous, its options in the engine's order."""
    dtype = weights.Wh.dtype
    weights = each(contiguous, weights)
    H = weights.Wx.shape[0] // (4 if cell == "lstm" else 1)
    widths = (weights.Wh.shape[1], H) if cell == "lstm" else (weights.Wh.shape[1],)
    parts = state or (None,) * len(widths)
    state = tuple(
        [
            np.zeros((B, width), dtype) if part is None else contiguous(part, dtype)
            for part, width in zip(parts, widths, strict=True)
        ]
    )
    return Direction(reverse, state, weights, engine_options(options, batch_sizes, reverse, dtype))


def forward(
    cell: str,
    x: Array | Integers,
    states: tuple[State | None, ...],
    weights: tuple[Weights, ...],
    batch_sizes: Integers | None,
    reverses: tuple[bool, ...],
    options: tuple[dict[str, Any], ...],
    *,
    save: bool,
) -> tuple[Array, list[State], Saved | None]:
    """One or two directions at once, their outputs side by side; arguments are already checked."""
    if batch_sizes is None:
        T, B = x.shape[:2]
    else:
        batch_sizes = contiguous(batch_sizes, dtype=np.int64)
        T, B = len(batch_sizes), int(batch_sizes[0])
        given = [part for state in states for part in state or () if part is not None]
        B = len(given[0]) if given else B
    directions = [
        direction(cell, B, state, own, batch_sizes, reverse, chosen)
        for state, own, reverse, chosen in zip(states, weights, reverses, options, strict=True)
    ]
    lasts = [tuple([empty_like(part) for part in d.state]) for d in directions]
    width = sum(d.weights.Wh.shape[1] for d in directions)
    y = empty((*x.shape[: 2 if batch_sizes is None else 1], width), weights[0].Wh.dtype)
    calls = [
        (d.reverse, *_two(d.state), d.weights, d.options, *_two(last))
        for d, last in zip(directions, lasts, strict=True)
    ]
    kept = _engine.forward(kernel(cell, options[0]), (T, B), batch_sizes, *split_input(x), calls, y, save)
    return y, lasts, None if kept is None else Saved(list(kept), x, directions, y)


def backward(
    saved: Saved, dy: Array | None, dstates: tuple[Any, ...], *, need_dx: bool, need_dstate: bool
) -> tuple[Array | None, list[State | None], list[Weights]]:
    """``dx``, summed over the directions, and of each direction the gradients of its state and weights."""
    dtype = saved.y.dtype
    x, tokens = split_input(saved.x)
    results: list[tuple[Any, ...]] = []
    calls = []
    for kept, d, dstate in zip(saved.kept, saved.directions, dstates, strict=True):
        dx = empty_like(x) if need_dx and x is not None else None
        dstate0 = tuple([empty_like(s) for s in d.state]) if need_dstate else None
        dweights = each(empty_like, d.weights)
        upstream = [None if part is None else contiguous(part, dtype) for part in dstate or ()]
        given = (*_two(d.state), d.weights, d.options, *_two(upstream))
        calls.append((kept, *given, dx, *_two(dstate0 or ()), dweights))
        results.append((dx, dstate0, dweights))
    up = None if dy is None else contiguous(dy, dtype)
    _engine.backward(x, tokens, saved.y, up, calls)
    return results[0][0], [r[1] for r in results], [r[2] for r in results]


def _two(parts: Any) -> tuple[Any, Any]:
    """(h, c), with None for what is not there."""
    return tuple([*parts, None, None][:2])
