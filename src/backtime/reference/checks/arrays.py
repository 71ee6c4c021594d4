"""One array: that it is one, its shape, its dtype, the range of its values."""

from typing import Any

import numpy as np

from backtime.errors import UsageError
from backtime.reference.weights import Array, Integers


def check_array(name: str, value: Any) -> None:
    """A NumPy array."""
    if not isinstance(value, np.ndarray):
        raise UsageError(f"{name} is a {type(value).__name__}; expected a NumPy array")


def check_shape(name: str, value: Array | Integers, letters: str, shape: tuple[int, ...]) -> None:
    """The shape that ``letters`` spell."""
    if value.shape != shape:
        raise UsageError(f"{name} has shape {value.shape}; expected {letters} = {shape}")


def check_dimensions(name: str, value: Array | Integers, letters: str) -> None:
    """As many axes as ``letters`` has: "(T, B, I)" is three, "(R,)" one."""
    if value.ndim != len(letters.strip("(,)").split(",")):
        raise UsageError(f"{name} has shape {value.shape}; expected {letters}")


def check_range(name: str, value: Array | Integers, size: int, letter: str) -> None:
    """Integers in [0, size)."""
    if value.size and (value.min() < 0 or value.max() >= size):
        least, most = value.min(), value.max()
        raise UsageError(f"{name} has values from {least} to {most}; expected 0 to {letter} - 1 = {size - 1}")


def check_share(name: str, value: Any) -> None:
    """Numbers in [0, 1]; NaN is none."""
    array = isinstance(value, np.ndarray)
    least, most = (value.min(initial=0), value.max(initial=0)) if array else (value, value)
    if not (least >= 0 and most <= 1):
        raise UsageError(f"{name} has values from {least} to {most}; expected 0 to 1")


def check_float(name: str, value: Array) -> None:
    """A float type."""
    if value.dtype.kind != "f":
        raise UsageError(f"{name} is {value.dtype}; expected a float type")


def check_dtype(name: str, value: Array | Integers, dtype: np.dtype, like: str = "") -> None:
    """The type ``dtype``; ``like`` says why that one."""
    if value.dtype != dtype:
        raise UsageError(f"{name} is {value.dtype}; expected {dtype}{like}")
