"""A forward call of one layer, dense or packed, and the backward call after it."""

from typing import Any, NamedTuple

import numpy as np

from backtime.errors import UsageError
from backtime.reference.checks.arrays import (
    check_array,
    check_dimensions,
    check_dtype,
    check_range,
    check_shape,
)
from backtime.reference.checks.options import check_options
from backtime.reference.checks.weights import GATES, STATE, check_weights
from backtime.reference.weights import Array, Integers, Weights, one_hot, widths


class Sizes(NamedTuple):
    """The sizes that a call turned out to have, and the letters they go by in errors."""

    y: tuple[int, ...]  # (T, B, P) or (R, P)
    B: int
    P: int
    H: int
    letters: str  # "(T, B, H)", "(T, B, P)", "(R, H)" or "(R, P)": of y
    dtype: np.dtype

    def parts(self, cell: str) -> list[tuple[str, tuple[int, int]]]:
        """Letters and shape of each part of the state."""
        P = "P" if "P" in self.letters else "H"
        return [
            ("(B, H)", (self.B, self.H)) if part == "c" else (f"(B, {P})", (self.B, self.P))
            for part in STATE[cell]
        ]


def check_call(
    cell: str,
    x: Any,
    state: Any,
    weights: Any,
    options: dict[str, Any] | None = None,
    batch_sizes: Any = None,
) -> Sizes:
    """A forward call: ``x`` (T, B, I) or integers (T, B), packed (R, I) or (R,); state; weights; options."""
    if not options and batch_sizes is None and (plain := _plain(cell, x, state, weights)):
        return plain
    if cell not in GATES:
        raise UsageError(f"cell is {cell!r}; expected one of {', '.join(GATES)}")
    check_weights(cell, weights)
    check_array("x", x)
    if batch_sizes is not None:
        _check_batch_sizes(batch_sizes)
    _check_input(x, weights, batch_sizes)
    P, H = widths(weights)
    B = x.shape[1] if batch_sizes is None else _count(state, batch_sizes)
    rows = x.shape[:2] if batch_sizes is None else x.shape[:1]
    letter = "H" if weights.Wy is None else "P"
    letters = f"(T, B, {letter})" if batch_sizes is None else f"(R, {letter})"
    sizes = Sizes((*rows, P), B, P, H, letters, weights.Wx.dtype)
    _check_parts("state", state, tuple(f"{name}0" for name in STATE[cell]), sizes.parts(cell), sizes.dtype)
    check_options(cell, options or {}, weights, sizes.y, sizes.letters, B)
    return sizes


def _plain(cell: str, x: Any, state: Any, weights: Any) -> Sizes | None:
    """The sizes of the commonest call, where it is in order: a short call should not wait for the checks."""
    if state is not None or type(weights) is not Weights or type(x) is not np.ndarray or x.ndim != 3:
        return None
    Wx, Wh, bx, bh, Wy, by, p, gx, gh, gc, bc = weights
    if cell == "jordan" or cell not in GATES or not (Wy is by is p is gx is gh is gc is bc is None):
        return None
    if not (type(Wx) is type(Wh) is type(bx) is type(bh) is np.ndarray) or not bx.size:
        return None
    dtype, GH = Wx.dtype, len(bx)
    H = GH // GATES[cell]
    fits = Wx.shape == (GH, x.shape[2]) and Wh.shape == (GH, H) and bx.shape == bh.shape == (GH,)
    if not fits or H * GATES[cell] != GH or not (x.dtype is Wh.dtype is bx.dtype is bh.dtype is dtype):
        return None
    T, B, _ = x.shape
    return Sizes((T, B, H), B, H, H, "(T, B, H)", dtype) if dtype.kind == "f" else None


def check_cotangents(cell: str, dy: Any, dstate: Any, sizes: Sizes) -> None:
    """A backward call after a forward call of these ``sizes``."""
    if dy is not None:
        check_array("dy", dy)
        check_shape("dy", dy, sizes.letters, sizes.y)
        check_dtype("dy", dy, sizes.dtype, " as y is")
    names = tuple(f"d{name}" for name in STATE[cell])
    _check_parts("dstate", dstate, names, sizes.parts(cell), sizes.dtype)


def _check_batch_sizes(batch_sizes: Any) -> None:
    check_array("batch_sizes", batch_sizes)
    check_dimensions("batch_sizes", batch_sizes, "(T,)")
    check_dtype("batch_sizes", batch_sizes, np.dtype(np.int64))
    if batch_sizes.size and batch_sizes.min() < 1:
        raise UsageError(f"batch_sizes has a step of {batch_sizes.min()} sequences; expected at least 1")
    rises = np.flatnonzero(np.diff(batch_sizes) > 0)
    if rises.size:
        t = rises[0] + 1
        raise UsageError(
            f"batch_sizes rises from {batch_sizes[t - 1]} to {batch_sizes[t]} at step {t}; "
            "expected sizes that do not rise"
        )


def _check_input(x: Array | Integers, weights: Weights, batch_sizes: Integers | None) -> None:
    I, rows = weights.Wx.shape[1], "T, B" if batch_sizes is None else "R"
    floats, integers = f"({rows}, I)", f"({rows})" if batch_sizes is None else "(R,)"
    if one_hot(x):
        check_dimensions("x", x, integers)
    else:
        check_dtype("x", x, weights.Wx.dtype, " as the weights are, or integers")
        check_dimensions("x", x, floats)
    expected = x.shape[:2] if batch_sizes is None else (int(batch_sizes.sum()),)
    if one_hot(x):
        check_shape("x", x, integers, expected)
        check_range("x", x, I, "I")
    else:
        check_shape("x", x, floats, (*expected, I))


def _count(state: Any, batch_sizes: Integers) -> int:
    """B of a packed call: what the state has, for sequences of length zero are in no row of x."""
    B = int(batch_sizes[0]) if len(batch_sizes) else 0
    parts = state if isinstance(state, tuple | list) else ()
    given = [part for part in parts if isinstance(part, np.ndarray) and part.ndim == 2]
    return max(B, len(given[0])) if given else B


def _check_parts(
    name: str, parts: Any, names: tuple[str, ...], shapes: list[tuple[str, tuple[int, int]]], dtype: np.dtype
) -> None:
    """A state or its gradient: None, or a tuple of None or arrays (B, .)."""
    if parts is None:
        return
    wanted = f"({', '.join(names)}{',' if len(names) == 1 else ''})"
    if not isinstance(parts, tuple | list):
        raise UsageError(f"{name} is a {type(parts).__name__}; expected {wanted} or None")
    if len(parts) != len(names):
        raise UsageError(f"{name} has {len(parts)} parts; expected {wanted}")
    for part, value, (letters, shape) in zip(names, parts, shapes, strict=True):
        if value is not None:
            check_array(part, value)
            check_shape(part, value, letters, shape)
            check_dtype(part, value, dtype, " as the weights are")
