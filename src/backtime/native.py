"""The calls into the compiled engine: contiguous arrays in, fresh arrays out; ``kernels`` is the door."""

import math
from typing import Any, NamedTuple

import numpy as np

from backtime import _engine
from backtime.reference.weights import Array, Integers, Weights, each

State = tuple[Array, ...]


class Saved(NamedTuple):
    """What the engine's backward pass reads again: its own gates and the arrays of the call."""

    kept: Any  # the engine's gates and cell states
    x: Array | Integers
    state: State
    weights: Weights
    y: Array


def can_run(
    cell: str,
    x: Array | Integers,
    weights: Weights,
    batch_sizes: Integers | None,
    reverse: bool,
    options: dict[str, Any],
) -> str | None:
    """None when the engine can do this call, else the reason why not."""
    dtype = weights.Wx.dtype
    if dtype not in (np.float32, np.float64):
        return f"dtype {dtype} is neither float32 nor float64"
    if any(w.dtype != dtype for w in weights if w is not None) or (x.dtype.kind == "f" and x.dtype != dtype):
        return "x and the weights differ in dtype"
    if 0 in x.shape or 0 in weights.Wh.shape:
        return "the input is empty"
    return _no_kernel(cell, weights, batch_sizes, reverse, options)


def _no_kernel(
    cell: str, weights: Weights, batch_sizes: Integers | None, reverse: bool, options: dict[str, Any]
) -> str | None:
    """What the call asks for that no kernel does yet, or None."""
    if cell == "jordan":
        return "the Jordan network has no kernel yet"
    if not options.get("reset_after", True):
        return "the GRU with the reset gate before the product has no kernel yet"
    if batch_sizes is not None:
        return "packed rows have no kernel yet"
    if reverse:
        return "the reverse direction has no kernel yet"
    for name in ("Wy", "p", "gx"):
        if getattr(weights, name) is not None:
            return f"{name} has no kernel yet"
    for name in ("coupled", "keep_h", "keep_c", "h_mask", "reset"):
        value = options.get(name)
        if isinstance(value, np.ndarray) or value:
            return f"{name} has no kernel yet"
    return None


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


def forward(
    cell: str,
    x: Array | Integers,
    state: State | None,
    weights: Weights,
    *,
    save: bool,
    activation: str = "tanh",
    **_: Any,
) -> tuple[Array, State, Saved | None]:
    """See ``kernels.forward``; arguments are already checked."""
    T, B = x.shape[:2]
    H, dtype = weights.Wh.shape[1], weights.Wh.dtype
    weights = each(np.ascontiguousarray, weights)
    parts = 2 if cell == "lstm" else 1
    state = tuple(
        np.zeros((B, H), dtype) if s is None else np.ascontiguousarray(s, dtype)
        for s in state or (None,) * parts
    )
    y = _empty((T, B, H), dtype)
    last = tuple(_empty((B, H), dtype) for _ in state)
    h0, c0 = state if parts == 2 else (state[0], None)
    hn, cn = last if parts == 2 else (last[0], None)
    kept = _engine.forward(cell, activation, (T, B), *_split_input(x), h0, c0, weights[:4], y, hn, cn, save)
    return y, last, Saved(kept, x, state, weights, y) if save else None


def backward(
    cell: str, saved: Saved, dy: Array | None, dstate: Any, *, need_dx: bool, need_dstate: bool
) -> tuple[Array | None, State | None, Weights]:
    """See ``kernels.backward``."""
    dtype = saved.y.dtype
    x, tokens = _split_input(saved.x)

    def optional(a: Array | None) -> Array | None:
        return None if a is None else np.ascontiguousarray(a, dtype)

    dx = _empty_like(x) if need_dx and x is not None else None
    dstate0 = tuple(_empty_like(s) for s in saved.state) if need_dstate else None
    dweights = each(_empty_like, saved.weights)
    h0, c0 = saved.state[0], saved.state[1] if cell == "lstm" else None
    dh0, dc0 = [*(dstate0 or ()), None, None][:2]
    dhn, dcn = [*map(optional, dstate or ()), None, None][:2]
    _engine.backward(
        saved.kept, x, tokens, h0, c0, saved.weights[:4], saved.y, optional(dy), dhn, dcn, dx, dh0, dc0,
        *dweights[:4],
    )  # fmt: skip
    return dx, dstate0, dweights


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


def make_stack(
    layers: list[Weights], cell: str, Wy: Array, by: Array, *, activation: str = "tanh", **_: Any
) -> Any:
    """The engine's prepared network, for ``step``."""
    dtype = layers[0].Wh.dtype
    kind = _engine.Stack32 if dtype == np.float32 else _engine.Stack64
    packed = [tuple(np.ascontiguousarray(a, dtype) for a in w[:4]) for w in layers]
    return kind(cell, activation, packed, np.ascontiguousarray(Wy, dtype), np.ascontiguousarray(by, dtype))


def step(stack: Any, x: Array | Integers, state: list[Array], by: Array) -> Array:
    """Logits (B, V) of one step; ``state`` is advanced in place."""
    logits = np.empty((len(x), len(by)), by.dtype)
    stack.step(*_split_input(x), state, logits)
    return logits
