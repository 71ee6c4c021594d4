"""Arrays as the engine reads and writes them: contiguous, aligned, of one type."""

import math
from typing import Any

import numpy as np

import backtime._engine as _engine
from backtime.reference.weights import Array, Integers

SMALL = 8192  # elements: at most 64 kB, which the C library keeps for the next call of its own accord


def contiguous(a: Any, dtype: Any = None) -> Any:
    """In C order and aligned; a copy only where it is not."""
    a = np.ascontiguousarray(a, dtype)
    return a if a.flags.aligned else a.copy()


def empty(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """An array to be written; a large one comes from the engine's pool, whose pages need not be made anew."""
    if math.prod(shape) < SMALL:
        return np.empty(shape, dtype)
    return _engine.empty32(shape) if dtype == np.float32 else _engine.empty64(shape)


def empty_like(a: Array) -> Array:
    """``empty`` of the shape and type of ``a``."""
    return empty(a.shape, a.dtype)


def split_input(x: Any) -> tuple[Array | None, Integers | None]:
    """(x, tokens): floats, or integers as one-hot columns."""
    if x.dtype.kind == "f":
        return x, None
    return None, x if x.dtype == np.int64 else x.astype(np.int64)
