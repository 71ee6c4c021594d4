"""A plain layer on memory of any owner: DLPack capsules in, fresh arrays out.

Plain is one direction of a dense batch of floats, all four weights, no options. The engine takes a capsule
once, and refuses one whose array is not contiguous. To look at a tensor as a NumPy array costs as much as the
engine's smallest step; a capsule of it costs next to nothing.
"""

from typing import Any

import numpy as np

import backtime._engine as _engine
from backtime.native.arrays import empty
from backtime.reference.weights import Array

Shape = tuple[int, ...]
Inputs = tuple[Any, Any, Any]  # capsules: x (T, B, I), (h0, c0) with None for zeros, (Wx, Wh, bx, bh)


def forward(
    cell: str, inputs: Inputs, shape: Shape, last: Shape, dtype: np.dtype, save: bool
) -> tuple[Array, list[Array], Any]:
    """``y`` of ``shape`` (T, B, H), the last state, each part of shape ``last``, and what backward needs."""
    x, (h0, c0), weights = inputs
    y, ends = empty(shape, dtype), [empty(last, dtype)]
    if cell == "lstm":
        ends.append(empty(last, dtype))
    direction = (False, h0, c0, weights, (), ends[0], ends[-1] if cell == "lstm" else None)
    kept = _engine.forward(cell, (shape[0], shape[1]), None, x, None, [direction], y, save)
    return y, ends, kept and kept[0]


def backward(
    kept: Any,
    inputs: Inputs,
    y: Any,
    upstream: tuple[Any, Any, Any],
    shapes: list[Shape | None],
    dtype: np.dtype,
) -> list[Array | None]:
    """Gradients of x, the four weights, h0 and c0, each of its shape, or None; what is kept is used up.

    ``upstream`` is capsules, or None for zeros: dy, and the gradients of the last h and c.
    """
    x, (h0, c0), weights = inputs
    dy, dhn, dcn = upstream
    found = [None if shape is None else empty(shape, dtype) for shape in shapes]
    dx, *dweights = found[:5]
    dh0, dc0 = (*found[5:], None, None)[:2]
    directions = [(kept, h0, c0, weights, (), dhn, dcn, dx, dh0, dc0, tuple(dweights))]
    _engine.backward(x, None, y, dy, directions, True)
    return found
