"""One layer in the engine, in one direction or in both at once."""

from typing import Any, NamedTuple

import numpy as np

import backtime._engine as _engine
from backtime.errors import UsageError
from backtime.native.arrays import contiguous, empty, empty_like, split_input
from backtime.native.options import engine_options, kernel
from backtime.reference.weights import Array, Integers, Weights, each

State = tuple[Array, ...]


class Direction(NamedTuple):
    """One direction of a layer, as the engine takes it."""

    reverse: bool
    h0: Array | None  # None is zeros
    c0: Array | None  # None is zeros, or no cell state
    weights: Weights
    options: tuple[Any, ...]  # activation, output, coupled, keep_h, keep_c, h_mask, cut; or none of them
    hn: Array
    cn: Array | None

    def last(self) -> State:
        """The state after the last step."""
        return (self.hn,) if self.cn is None else (self.hn, self.cn)

    def contiguous(self) -> "Direction":
        """Every array in C order and aligned."""
        h0, c0 = [None if part is None else contiguous(part) for part in (self.h0, self.c0)]
        return self._replace(h0=h0, c0=c0, weights=each(contiguous, self.weights))


class Saved(NamedTuple):
    """What the engine's backward pass reads again: its own gates and the arrays of the call."""

    kept: list[Any]  # of each direction the engine's gates and cell states
    x: Array | Integers
    directions: list[Direction]
    y: Array


def can_run(x: Array | Integers, weights: Weights) -> str | None:
    """None when the engine can do this call, whose arrays are known to fit, else the reason why not."""
    dtype = weights.Wx.dtype
    if dtype != np.float32 and dtype != np.float64:
        return f"dtype {dtype} is neither float32 nor float64"
    if 0 in x.shape or 0 in weights.Wh.shape:
        return "the input is empty"
    return None


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
    T, B = x.shape[:2] if batch_sizes is None else (len(batch_sizes), _sequences(batch_sizes, states))
    dtype = weights[0].Wh.dtype
    each_one = zip(weights, states, reverses, options, strict=True)
    directions = [_direction(cell, B, batch_sizes, *one) for one in each_one]
    P = sum([w.Wh.shape[1] for w in weights])
    y = empty((T, B, P) if batch_sizes is None else (len(x), P), dtype)
    name = kernel(cell, options[0])
    try:
        kept = _engine.forward(name, (T, B), batch_sizes, *split_input(x), directions, y, save)
    except ValueError:  # an array is not as the engine reads it: copies, where needed
        x, directions = contiguous(x), [d.contiguous() for d in directions]
        batch_sizes = None if batch_sizes is None else contiguous(batch_sizes)
        kept = _engine.forward(name, (T, B), batch_sizes, *split_input(x), directions, y, save)
    return y, [d.last() for d in directions], None if kept is None else Saved(list(kept), x, directions, y)


def _direction(
    cell: str,
    B: int,
    batch_sizes: Integers | None,
    weights: Weights,
    state: State | None,
    reverse: bool,
    options: dict[str, Any],
) -> Direction:
    """One direction, with memory for its last state."""
    P, dtype = weights.Wh.shape[1], weights.Wh.dtype
    cn = empty((B, weights.Wx.shape[0] // 4), dtype) if cell == "lstm" else None
    chosen = engine_options(options, batch_sizes, reverse, dtype) if options else ()
    return Direction(reverse, *_two(state), weights, chosen, empty((B, P), dtype), cn)


def _sequences(batch_sizes: Integers, states: tuple[State | None, ...]) -> int:
    """B: what a state has, for sequences of length zero are in no row of x."""
    given = [part for state in states for part in state or () if part is not None]
    return len(given[0]) if given else int(batch_sizes[0])


def backward(
    saved: Saved,
    dy: Array | None,
    dstates: tuple[Any, ...],
    *,
    need_dx: bool,
    need_dstate: bool,
    last_use: bool,
) -> tuple[Array | None, list[State | None], list[Weights]]:
    """``dx``, summed over the directions, and of each direction the gradients of its state and weights."""
    if not saved.kept:
        raise UsageError("tape was used up by backward with last_use=True; run forward again")
    dtype = saved.y.dtype
    x, tokens = split_input(saved.x)
    results: list[tuple[Any, ...]] = []
    calls = []
    for kept, d, dstate in zip(saved.kept, saved.directions, dstates, strict=True):
        dx = empty_like(x) if need_dx and x is not None else None
        dstate0 = tuple([empty(shape, dtype) for shape in kept.state_shapes]) if need_dstate else None
        dweights = Weights._make([None if w is None else empty_like(w) for w in d.weights])
        upstream = [None if part is None else contiguous(part, dtype) for part in dstate or ()]
        calls.append((kept, d.h0, d.c0, d.weights, d.options, *_two(upstream), dx, *_two(dstate0), dweights))
        results.append((dx, dstate0, dweights))
    up = None if dy is None else contiguous(dy, dtype)
    _engine.backward(x, tokens, saved.y, up, calls, last_use)
    if last_use:
        saved.kept.clear()
    return results[0][0], [r[1] for r in results], [r[2] for r in results]


def _two(parts: Any) -> tuple[Any, Any]:
    """(h, c), with None for what is not there."""
    h, c = (*(parts or ()), None, None)[:2]
    return h, c
