"""The weights of one layer: which a cell has, which come together, their shapes and their type."""

from typing import Any

from backtime.errors import UsageError
from backtime.reference.checks.arrays import (
    check_array,
    check_dimensions,
    check_dtype,
    check_float,
    check_shape,
)
from backtime.reference.weights import Weights, widths

GATES = {"rnn": 1, "gru": 3, "lstm": 4, "jordan": 1}
STATE = {"rnn": ("h",), "gru": ("h",), "lstm": ("h", "c"), "jordan": ("y",)}
ALWAYS = ("Wx", "Wh", "bx", "bh")
OUTPUT = ("Wy", "by")  # the jordan's output product
NORM = {"rnn": ("gx", "gh"), "gru": ("gx", "gh"), "lstm": ("gx", "gh", "gc", "bc"), "jordan": ("gx", "gh")}
FURTHER = {
    "rnn": NORM["rnn"],
    "gru": NORM["gru"],
    "lstm": ("Wy", "p", *NORM["lstm"]),
    "jordan": (*OUTPUT, *NORM["jordan"]),
}
LETTERS = {
    "Wx": "(G*H, I)",
    "bx": "(G*H,)",
    "bh": "(G*H,)",
    "Wy": "(P, H)",
    "by": "(P,)",
    "p": "(3, H)",
    "gx": "(G*H,)",
    "gh": "(G*H,)",
    "gc": "(H,)",
    "bc": "(H,)",
}


def check_weights(cell: str, weights: Any) -> None:
    """Float arrays of one dtype and of the shapes in ``Weights``; those that the cell has, and no others."""
    if not isinstance(weights, Weights):
        raise UsageError(f"weights is a {type(weights).__name__}; expected Weights(Wx, Wh, bx, bh)")
    _check_presence(cell, weights)
    given = {name: value for name, value in weights._asdict().items() if value is not None}
    for name, value in given.items():
        check_array(name, value)
    _check_shapes(cell, weights)
    for name, value in given.items():
        check_dtype(name, value, weights.Wx.dtype, " as Wx is")


def _check_presence(cell: str, weights: Weights) -> None:
    for name, value in weights._asdict().items():
        if value is not None and name not in ALWAYS + FURTHER[cell]:
            raise UsageError(f"{name} is given; expected None, for the {cell} has no {name}")
        needed = name in ALWAYS or (cell == "jordan" and name in OUTPUT)
        if value is None and needed:
            raise UsageError(f"{name} is None; expected an array, for the {cell} needs it")
    missing = [name for name in NORM[cell] if getattr(weights, name) is None]
    if missing and len(missing) < len(NORM[cell]):
        together = ", ".join(NORM[cell])
        raise UsageError(f"{missing[0]} is None; expected {together} together (layer norm), or none of them")


def _check_shapes(cell: str, weights: Weights) -> None:
    check_float("Wx", weights.Wx)
    check_dimensions("Wx", weights.Wx, "(G*H, I)")
    P = "H" if weights.Wy is None else "P"
    check_dimensions("Wh", weights.Wh, f"(G*H, {P})")
    if weights.Wy is not None:
        check_dimensions("Wy", weights.Wy, "(P, H)")
    width, H = widths(weights)
    GH, I = GATES[cell] * H, weights.Wx.shape[1]
    check_shape("Wh", weights.Wh, f"(G*H, {P})", (GH, width))
    sizes = {"G*H": GH, "I": I, "H": H, "P": width, "3": 3}
    for name, letters in LETTERS.items():
        value = getattr(weights, name)
        if value is not None:
            shape = tuple(sizes[letter] for letter in letters.strip("(,)").split(", "))
            check_shape(name, value, letters, shape)
