"""The options of a cell: those it has, their values, and the combinations that do not exist."""

from typing import Any

import numpy as np

from backtime.errors import UsageError
from backtime.reference.activations import activation
from backtime.reference.checks.arrays import check_array, check_dtype, check_shape, check_share
from backtime.reference.weights import Weights, widths

OPTIONS = {
    "rnn": ("activation", "keep_h", "h_mask", "reset"),
    "gru": ("reset_after", "keep_h", "h_mask", "reset"),
    "lstm": ("coupled", "keep_h", "keep_c", "h_mask", "reset"),
    "jordan": ("activation", "output_activation", "h_mask", "reset"),
}


def check_names(cell: str, options: dict[str, Any]) -> None:
    """Options that the cell has."""
    for name in options:
        if name not in OPTIONS[cell]:
            raise UsageError(f"option {name} is not one of the {cell}; expected {', '.join(OPTIONS[cell])}")


def check_options(
    cell: str, options: dict[str, Any], weights: Weights, y: tuple[int, ...], letters: str, B: int
) -> None:
    """Every option of a call whose output has shape ``y``, spelled ``letters``, of ``B`` sequences."""
    check_names(cell, options)
    P, H = widths(weights)
    dtype = weights.Wx.dtype
    for name, value in options.items():
        if name in ("activation", "output_activation"):
            activation(value, name)
        elif name in ("reset_after", "coupled"):
            _check_switch(name, value)
        elif name == "keep_h":
            _check_keep(name, value, y, letters, dtype)
        elif name == "keep_c":
            _check_keep(name, value, (*y[:-1], H), letters.replace("P", "H"), dtype)
        elif value is not None:
            check_array(name, value)
            if name == "h_mask":
                check_shape(name, value, f"(B, {letters[-2]})", (B, P))
                check_dtype(name, value, dtype, " as the weights are")
            else:
                check_shape(name, value, "(T, B)" if len(y) == 3 else "(R,)", y[:-1])
                check_dtype(name, value, np.dtype(bool))
    _check_combinations(cell, options, weights)


def _check_combinations(cell: str, options: dict[str, Any], weights: Weights) -> None:
    if weights.gx is None:
        return
    if cell == "gru" and not options.get("reset_after", True):
        raise UsageError(
            "gx is given with reset_after=False; expected None: layer norm needs reset_after=True"
        )
    if options.get("coupled", False):  # LN takes the whole row, and coupled has no row for f
        raise UsageError("gx is given with coupled=True; expected None: layer norm needs all four gates")


def _check_switch(name: str, value: Any) -> None:
    if not isinstance(value, bool | np.bool_):
        raise UsageError(f"{name} is {value!r}; expected True or False")


def _check_keep(name: str, value: Any, shape: tuple[int, ...], letters: str, dtype: np.dtype) -> None:
    """A number, or an array like the state at every step, with values in [0, 1]."""
    if isinstance(value, np.ndarray):
        check_shape(name, value, letters, shape)
        check_dtype(name, value, dtype, " as the weights are")
    elif isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise UsageError(f"{name} is a {type(value).__name__}; expected a number or a NumPy array")
    check_share(name, value)
