"""The output unit, and whole networks stepped through time."""

from typing import Any

import numpy as np

import backtime._engine as _engine
from backtime.native.arrays import contiguous, empty_like, split_input
from backtime.native.options import engine_options, kernel
from backtime.reference.weights import Array, Integers, Weights


def softmax_cross_entropy(
    h: Array, Wy: Array, by: Array, targets: Integers, row_weights: Array | None, gradient: bool
) -> tuple[Array, tuple[Array, Array, Array] | None]:
    """See ``kernels.softmax_cross_entropy``."""
    R, dtype = len(h), Wy.dtype
    h, Wy, by = (contiguous(a, dtype) for a in (h, Wy, by))
    if row_weights is None:
        row_weights = np.full(R, 1 / max(R, 1), dtype)
    losses = np.empty(R, dtype)
    grads = (empty_like(h), empty_like(Wy), empty_like(by)) if gradient else None
    _engine.softmax_cross_entropy(
        h,
        Wy,
        by,
        contiguous(targets, dtype=np.int64),
        contiguous(row_weights, dtype),
        losses,
        *(grads or (None, None, None)),
    )
    return losses, grads


def make_stack(
    layers: list[Weights], cell: str, Wy: Array | None, by: Array | None, options: dict[str, Any]
) -> Any:
    """The engine's prepared network, for ``step``; without ``Wy`` its output is h of the last layer."""
    dtype = layers[0].Wh.dtype
    kind = _engine.Stack32 if dtype == np.float32 else _engine.Stack64
    packed = [tuple([None if a is None else contiguous(a, dtype) for a in w]) for w in layers]
    head = [None if a is None else contiguous(a, dtype) for a in (Wy, by)]
    return kind(kernel(cell, options), engine_options(options, None, False, dtype), packed, *head)


def step(stack: Any, x: Array | Integers, state: list[Array], V: int) -> Array:
    """The output (B, V) of one step; ``state`` is advanced in place."""
    output = np.empty((len(x), V), state[0].dtype)
    stack.step(*split_input(contiguous(x)), state, output)
    return output


def make_stream(stack: Any, B: int) -> Any:
    """A place in B sequences with the state inside the engine."""
    return (_engine.Stream32 if isinstance(stack, _engine.Stack32) else _engine.Stream64)(stack, B)
