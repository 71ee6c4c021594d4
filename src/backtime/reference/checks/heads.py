"""Output units with their losses."""

from typing import Any

import numpy as np

from backtime.errors import UsageError
from backtime.reference.checks.arrays import (
    check_array,
    check_dimensions,
    check_dtype,
    check_float,
    check_range,
    check_shape,
)
from backtime.reference.weights import Array, Integers


def check_head(h: Any, Wy: Any, by: Any, targets: Any, weights: Any = None, *, unit: str = "softmax") -> None:
    """A call of an output unit with its loss: softmax takes class numbers (R,), the others values (R, V)."""
    for name, value in {"h": h, "Wy": Wy, "by": by, "targets": targets}.items():
        check_array(name, value)
    check_float("Wy", Wy)
    check_dimensions("h", h, "(R, H)")
    check_dimensions("Wy", Wy, "(V, H)")
    R, (V, H) = h.shape[0], Wy.shape
    check_shape("h", h, "(R, H)", (R, H))
    check_shape("by", by, "(V,)", (V,))
    if weights is not None:
        check_array("weights", weights)
        check_shape("weights", weights, "(R,)", (R,))
        check_dtype("weights", weights, Wy.dtype, " as Wy is")
    for name, value in {"h": h, "by": by}.items():
        check_dtype(name, value, Wy.dtype, " as Wy is")
    _check_targets(targets, R, V, Wy.dtype, unit)


def _check_targets(targets: Array | Integers, R: int, V: int, dtype: np.dtype, unit: str) -> None:
    if unit == "softmax":
        if targets.dtype.kind not in "iu":
            raise UsageError(f"targets is {targets.dtype}; expected integers")
        check_shape("targets", targets, "(R,)", (R,))
        check_range("targets", targets, V, "V")
        return
    check_shape("targets", targets, "(R, V)", (R, V))
    check_dtype("targets", targets, dtype, " as Wy is")
    if unit == "sigmoid" and targets.size and not (targets.min() >= 0 and targets.max() <= 1):
        raise UsageError(f"targets has values from {targets.min()} to {targets.max()}; expected 0 to 1")
