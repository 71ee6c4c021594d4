"""What a call must look like: ``UsageError`` names the argument, what came and what was expected.

The one place for it: the reference checks its own calls, ``backtime.kernels`` those that go to the engine.
"""

from typing import Any

import numpy as np

from backtime.errors import UsageError
from backtime.reference.activations import activation
from backtime.reference.weights import Array, Integers, Weights

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
OPTIONS = {"rnn": ("activation",), "gru": ("reset_after",), "lstm": ()}
STATE = {"rnn": ("h",), "gru": ("h",), "lstm": ("h", "c")}


def check_call(cell: str, x: Any, state: Any, weights: Any) -> None:
    """A forward call of one layer: ``x`` (T, B, I) or integers (T, B), the state (B, H) each, weights."""
    if cell not in GATES:
        raise UsageError(f"cell is {cell!r}; expected one of {', '.join(GATES)}")
    check_weights(cell, weights)
    dtype, H, I = weights.Wx.dtype, weights.Wh.shape[1], weights.Wx.shape[1]
    check_array("x", x)
    if x.dtype.kind in "iu":
        _check_dimensions("x", x, "(T, B)")
        check_range("x", x, I, "I")
    else:
        _check_dtype("x", x, dtype, " as the weights are, or integers")
        _check_dimensions("x", x, "(T, B, I)")
        check_shape("x", x, "(T, B, I)", (*x.shape[:2], I))
    names = tuple(f"{name}0" for name in STATE[cell])
    _check_parts("state", state, names, x.shape[1], H, dtype)


def check_options(cell: str, options: dict[str, Any]) -> None:
    """Options that the cell has."""
    for name in options:
        if name not in OPTIONS[cell]:
            known = ", ".join(OPTIONS[cell]) or "none"
            raise UsageError(f"option {name} is not one of the {cell}; expected {known}")
    if "activation" in options:
        activation(options["activation"])


def check_cotangents(cell: str, dy: Any, dstate: Any, shape: tuple[int, int, int], dtype: np.dtype) -> None:
    """A backward call after a forward whose ``y`` had this ``shape`` (T, B, H) and ``dtype``."""
    if dy is not None:
        check_array("dy", dy)
        check_shape("dy", dy, "(T, B, H)", shape)
        _check_dtype("dy", dy, dtype, " as y is")
    names = tuple(f"d{name}" for name in STATE[cell])
    _check_parts("dstate", dstate, names, shape[1], shape[2], dtype)


def check_head(h: Any, Wy: Any, by: Any, targets: Any, weights: Any = None, *, unit: str = "softmax") -> None:
    """A call of an output unit with its loss: softmax takes class numbers (R,), the others values (R, V)."""
    for name, value in {"h": h, "Wy": Wy, "by": by, "targets": targets}.items():
        check_array(name, value)
    _check_float("Wy", Wy)
    _check_dimensions("h", h, "(R, H)")
    _check_dimensions("Wy", Wy, "(V, H)")
    R, (V, H) = h.shape[0], Wy.shape
    check_shape("h", h, "(R, H)", (R, H))
    check_shape("by", by, "(V,)", (V,))
    if weights is not None:
        check_array("weights", weights)
        check_shape("weights", weights, "(R,)", (R,))
        _check_dtype("weights", weights, Wy.dtype, " as Wy is")
    for name, value in {"h": h, "by": by}.items():
        _check_dtype(name, value, Wy.dtype, " as Wy is")
    _check_targets(targets, R, V, Wy.dtype, unit)


def _check_targets(targets: Array | Integers, R: int, V: int, dtype: np.dtype, unit: str) -> None:
    if unit == "softmax":
        if targets.dtype.kind not in "iu":
            raise UsageError(f"targets is {targets.dtype}; expected integers")
        check_shape("targets", targets, "(R,)", (R,))
        check_range("targets", targets, V, "V")
        return
    check_shape("targets", targets, "(R, V)", (R, V))
    _check_dtype("targets", targets, dtype, " as Wy is")
    if unit == "sigmoid" and targets.size and not (targets.min() >= 0 and targets.max() <= 1):
        raise UsageError(f"targets has values from {targets.min()} to {targets.max()}; expected 0 to 1")


def check_weights(cell: str, weights: Any) -> None:
    """Four float arrays of one dtype: Wx (G*H, I), Wh (G*H, H), bx and bh (G*H,)."""
    if not isinstance(weights, Weights):
        raise UsageError(f"weights is a {type(weights).__name__}; expected Weights(Wx, Wh, bx, bh)")
    for name, value in weights._asdict().items():
        check_array(name, value)
    Wx, Wh, bx, bh = weights
    _check_float("Wx", Wx)
    _check_dimensions("Wx", Wx, "(G*H, I)")
    _check_dimensions("Wh", Wh, "(G*H, H)")
    I, H = Wx.shape[1], Wh.shape[1]
    GH = GATES[cell] * H
    check_shape("Wh", Wh, "(G*H, H)", (GH, H))
    check_shape("Wx", Wx, "(G*H, I)", (GH, I))
    check_shape("bx", bx, "(G*H,)", (GH,))
    check_shape("bh", bh, "(G*H,)", (GH,))
    for name, value in {"Wh": Wh, "bx": bx, "bh": bh}.items():
        _check_dtype(name, value, Wx.dtype, " as Wx is")


def check_array(name: str, value: Any) -> None:
    """A NumPy array."""
    if not isinstance(value, np.ndarray):
        raise UsageError(f"{name} is a {type(value).__name__}; expected a NumPy array")


def check_shape(name: str, value: Array | Integers, letters: str, shape: tuple[int, ...]) -> None:
    """The shape that ``letters`` spell."""
    if value.shape != shape:
        raise UsageError(f"{name} has shape {value.shape}; expected {letters} = {shape}")


def check_range(name: str, value: Array | Integers, size: int, letter: str) -> None:
    """Integers in [0, size)."""
    if value.size and (value.min() < 0 or value.max() >= size):
        least, most = value.min(), value.max()
        raise UsageError(f"{name} has values from {least} to {most}; expected 0 to {letter} - 1 = {size - 1}")


def _check_parts(name: str, parts: Any, names: tuple[str, ...], B: int, H: int, dtype: np.dtype) -> None:
    """A state or its gradient: None, or a tuple of None or (B, H) arrays."""
    if parts is None:
        return
    wanted = f"({', '.join(names)}{',' if len(names) == 1 else ''})"
    if not isinstance(parts, tuple | list):
        raise UsageError(f"{name} is a {type(parts).__name__}; expected {wanted} or None")
    if len(parts) != len(names):
        raise UsageError(f"{name} has {len(parts)} parts; expected {wanted}")
    for part, value in zip(names, parts, strict=True):
        if value is not None:
            check_array(part, value)
            check_shape(part, value, "(B, H)", (B, H))
            _check_dtype(part, value, dtype, " as the weights are")


def _check_dimensions(name: str, value: Array | Integers, letters: str) -> None:
    if value.ndim != letters.count(",") + 1:
        raise UsageError(f"{name} has shape {value.shape}; expected {letters}")


def _check_float(name: str, value: Array) -> None:
    if value.dtype.kind != "f":
        raise UsageError(f"{name} is {value.dtype}; expected a float type")


def _check_dtype(name: str, value: Array | Integers, dtype: np.dtype, like: str) -> None:
    if value.dtype != dtype:
        raise UsageError(f"{name} is {value.dtype}; expected {dtype}{like}")
