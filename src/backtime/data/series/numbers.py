"""Cells as finite numbers; what is none is told with its place."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UsageError


def numbers_of(cells: list[str], place: str) -> NDArray[np.float32]:
    """The numbers of a row; each is finite."""
    try:
        values = np.array(cells, np.float64)
    except ValueError:
        step = next(n for n, cell in enumerate(cells, 1) if not is_number(cell))
        raise UsageError(f"{place} step {step} is {cells[step - 1][:20]!r}; expected a number") from None
    if not np.isfinite(values).all():
        step = int(np.isfinite(values).argmin())
        raise UsageError(f"{place} step {step + 1} is {values[step]}; expected finite numbers")
    return values.astype(np.float32)


def is_number(cell: str) -> bool:
    """Whether a cell says a number; NaN and infinity are said too."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def check_finite(steps: NDArray[Any], place: str) -> None:
    """Raise ``UsageError`` naming the first step and channel of (T, ...) that is NaN or infinite."""
    if steps.dtype.kind == "f" and not np.isfinite(steps).all():
        step, *channel = (int(at) for at in np.argwhere(~np.isfinite(steps))[0])
        raise UsageError(
            f"{place} is {steps[(step, *channel)]} at step {step}, channel {', '.join(map(str, channel))}; "
            "expected finite numbers"
        )
