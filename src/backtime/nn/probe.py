"""What the engine has a kernel for, asked of it once for each form of call."""

from typing import Any

import numpy as np

from backtime import kernels
from backtime.kernels import GATES
from backtime.reference.weights import Weights

if kernels.available():
    from backtime import native

# of the call that is shown to the engine; what it lacks depends on none of them
T, B, I, H, P = 2, 1, 1, 2, 1


Form = tuple[str, tuple[tuple[str, Any], ...], tuple[str, ...], bool, bool]
KNOWN: dict[Form, str | None] = {}  # what the engine said


def engine_lacks(
    cell: str, options: tuple[tuple[str, Any], ...], present: tuple[str, ...], packed: bool, reverse: bool
) -> str | None:
    """The engine's reason against calls of this form, None when there is none.

    ``present`` names the weights; an option's value may be "rows" for an array with a value for every row.
    """
    if kernels.choose("auto") == "reference":
        return None  # NumPy does everything
    form = (cell, options, present, packed, reverse)
    if form not in KNOWN:
        KNOWN[form] = _asked(*form)
    return KNOWN[form]


def _asked(
    cell: str, options: tuple[tuple[str, Any], ...], present: tuple[str, ...], packed: bool, reverse: bool
) -> str | None:
    width = P if "Wy" in present else H
    rows = (T * B,) if packed else (T, B)
    shapes = _shapes(GATES[cell] * H, width)
    weights = Weights(**{name: np.zeros(shapes[name]) for name in {"bx", "bh", *present}})
    values = {
        "keep_h": np.zeros((*rows, width)),
        "keep_c": np.zeros((*rows, H)),
        "h_mask": np.zeros((B, width)),
        "reset": np.zeros(rows, bool),
    }
    own = {name: values[name] if value == "rows" else value for name, value in options}
    sizes = np.full(T, B) if packed else None
    return native.can_run(cell, np.zeros((*rows, I)), weights, sizes, reverse, own)


def _shapes(GH: int, width: int) -> dict[str, tuple[int, ...]]:
    return {
        "Wx": (GH, I), "Wh": (GH, width), "bx": (GH,), "bh": (GH,), "Wy": (width, H), "by": (width,),
        "p": (3, H), "gx": (GH,), "gh": (GH,), "gc": (H,), "bc": (H,),
    }  # fmt: skip
