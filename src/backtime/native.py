"""The calls into the compiled engine: contiguous arrays in, fresh arrays out; ``kernels`` is the door."""

import math
from typing import Any, NamedTuple

import numpy as np

from backtime import _engine
from backtime.reference.weights import Array, Integers, Weights

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
    weights = Weights(*[None if w is None else np.ascontiguousarray(w) for w in weights])
    H = weights.Wx.shape[0] // (4 if cell == "lstm" else 1)
    widths = (weights.Wh.shape[1], H) if cell == "lstm" else (weights.Wh.shape[1],)
    parts = state or (None,) * len(widths)
    state = tuple(
        [
            np.zeros((B, width), dtype) if part is None else np.ascontiguousarray(part, dtype)
            for part, width in zip(parts, widths, strict=True)
        ]
    )
    return Direction(reverse, state, weights, _options(options, batch_sizes, reverse, dtype))


def _options(
    options: dict[str, Any], batch_sizes: Integers | None, reverse: bool, dtype: np.dtype
) -> tuple[Any, ...]:
    given = {name: value for name, value in options.items() if name != "reset_after"}
    if not given:
        return ()
    mask, reset = given.get("h_mask"), given.get("reset")
    return (
        given.get("activation", "tanh"),
        given.get("output_activation", "identity"),
        bool(given.get("coupled", False)),
        _keep(given.get("keep_h"), dtype),
        _keep(given.get("keep_c"), dtype),
        None if mask is None else np.ascontiguousarray(mask, dtype),
        None if reset is None else cuts(reset, batch_sizes, reverse),
    )


def _keep(value: Any, dtype: np.dtype) -> Any:
    if value is None:
        return None
    return np.ascontiguousarray(value, dtype) if isinstance(value, np.ndarray) else float(value) or None


def cuts(reset: Array, batch_sizes: Integers | None, reverse: bool) -> Array:
    """(R,) where the state that enters a row's step is zero, from where a new sequence begins.

    In the reverse direction the state crosses the same place from the other side: one step earlier.
    """
    begins: Any = np.ascontiguousarray(reset).reshape(-1).astype(np.uint8)
    if not reverse:
        return begins  # type: ignore[no-any-return]
    sizes = np.full(reset.shape[0], reset.shape[1]) if batch_sizes is None else np.asarray(batch_sizes)
    later = np.arange(sizes[0], sizes.sum())
    earlier = later - np.repeat(sizes[:-1], sizes[1:])
    cut: Any = np.zeros_like(begins)
    cut[earlier] = begins[later]
    return cut  # type: ignore[no-any-return]


def _empty(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """An array to be written; a large one comes from the engine's pool, whose pages need not be made anew."""
    if math.prod(shape) < 4096:
        return np.empty(shape, dtype)
    return _engine.empty32(shape) if dtype == np.float32 else _engine.empty64(shape)


def _empty_like(a: Array) -> Array:
    return _empty(a.shape, a.dtype)


def _split_input(x: Array | Integers) -> tuple[Array | None, Integers | None]:
    """(x, tokens): floats, or integers as one-hot columns."""
    if x.dtype.kind == "f":
        return np.ascontiguousarray(x), None
    return None, np.ascontiguousarray(x, dtype=np.int64)


def _kernel(cell: str, options: dict[str, Any]) -> str:
    return "gru_before" if not options.get("reset_after", True) else cell


def one_kernel(cell: str, options: tuple[dict[str, Any], dict[str, Any]]) -> bool:
    """Whether both directions are the same kind of cell, and so can run at once."""
    return _kernel(cell, options[0]) == _kernel(cell, options[1])


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
        batch_sizes = np.ascontiguousarray(batch_sizes, dtype=np.int64)
        T, B = len(batch_sizes), int(batch_sizes[0])
        given = [part for state in states for part in state or () if part is not None]
        B = len(given[0]) if given else B
    directions = [
        direction(cell, B, state, own, batch_sizes, reverse, chosen)
        for state, own, reverse, chosen in zip(states, weights, reverses, options, strict=True)
    ]
    lasts = [tuple([_empty_like(part) for part in d.state]) for d in directions]
    width = sum(d.weights.Wh.shape[1] for d in directions)
    y = _empty((*x.shape[: 2 if batch_sizes is None else 1], width), weights[0].Wh.dtype)
    calls = [
        (d.reverse, *_two(d.state), d.weights, d.options, *_two(last))
        for d, last in zip(directions, lasts, strict=True)
    ]
    kept = _engine.forward(_kernel(cell, options[0]), (T, B), batch_sizes, *_split_input(x), calls, y, save)
    return y, lasts, Saved(kept, x, directions, y) if save else None


def backward(
    saved: Saved, dy: Array | None, dstates: tuple[Any, ...], *, need_dx: bool, need_dstate: bool
) -> tuple[Array | None, list[State | None], list[Weights]]:
    """``dx``, summed over the directions, and of each direction the gradients of its state and weights."""
    dtype = saved.y.dtype
    x, tokens = _split_input(saved.x)
    results: list[tuple[Any, ...]] = []
    calls = []
    for kept, d, dstate in zip(saved.kept, saved.directions, dstates, strict=True):
        dx = _empty_like(x) if need_dx and x is not None else None
        dstate0 = tuple([_empty_like(s) for s in d.state]) if need_dstate else None
        dweights = Weights(*[None if w is None else _empty_like(w) for w in d.weights])
        upstream = [None if part is None else np.ascontiguousarray(part, dtype) for part in dstate or ()]
        given = (*_two(d.state), d.weights, d.options, *_two(upstream))
        calls.append((kept, *given, dx, *_two(dstate0 or ()), dweights))
        results.append((dx, dstate0, dweights))
    up = None if dy is None else np.ascontiguousarray(dy, dtype)
    _engine.backward(x, tokens, saved.y, up, calls)
    return results[0][0], [r[1] for r in results], [r[2] for r in results]


def _two(parts: Any) -> tuple[Any, Any]:
    """(h, c), with None for what is not there."""
    return tuple([*parts, None, None][:2])  # type: ignore[return-value]


def softmax_cross_entropy(
    h: Array, Wy: Array, by: Array, targets: Integers, row_weights: Array | None, gradient: bool
) -> tuple[Array, tuple[Array, Array, Array] | None]:
    """See ``kernels.softmax_cross_entropy``."""
    R, dtype = len(h), Wy.dtype
    h, Wy, by = (np.ascontiguousarray(a, dtype) for a in (h, Wy, by))
    if row_weights is None:
        row_weights = np.full(R, 1 / max(R, 1), dtype)
    losses = np.empty(R, dtype)
    grads = (_empty_like(h), _empty_like(Wy), _empty_like(by)) if gradient else None
    _engine.softmax_cross_entropy(
        h,
        Wy,
        by,
        np.ascontiguousarray(targets, dtype=np.int64),
        np.ascontiguousarray(row_weights, dtype),
        losses,
        *(grads or (None, None, None)),
    )
    return losses, grads


def make_stack(layers: list[Weights], cell: str, Wy: Array, by: Array, options: dict[str, Any]) -> Any:
    """The engine's prepared network, for ``step``."""
    dtype = layers[0].Wh.dtype
    kind = _engine.Stack32 if dtype == np.float32 else _engine.Stack64
    packed = [tuple([None if a is None else np.ascontiguousarray(a, dtype) for a in w]) for w in layers]
    chosen = _options(options, None, False, dtype)
    return kind(
        _kernel(cell, options),
        chosen,
        packed,
        np.ascontiguousarray(Wy, dtype),
        np.ascontiguousarray(by, dtype),
    )


def step(stack: Any, x: Array | Integers, state: list[Array], by: Array) -> Array:
    """Logits (B, V) of one step; ``state`` is advanced in place."""
    logits = np.empty((len(x), len(by)), by.dtype)
    stack.step(*_split_input(x), state, logits)
    return logits
