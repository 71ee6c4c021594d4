"""What is known of the steps of a sequence: numbers that a unit may follow."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backtime.insight.measures import Floats
from backtime.insight.units.following import properties

MOST = 8  # numbers of a step that are looked at one by one; of more it is their mean
STEP = "the number of the step"


def of_symbols(symbols: Sequence[str]) -> dict[str, Floats]:
    """Of words or characters."""
    return {**properties(list(symbols)), STEP: np.arange(float(len(symbols)))}


def of_numbers(rows: NDArray[np.generic], names: Sequence[str] = ()) -> dict[str, Floats]:
    """Of steps (T, I) of numbers, which may have names."""
    values = rows.astype(np.float64)
    T, size = values.shape
    found = {STEP: np.arange(float(T))}
    if size > MOST and not names:
        return {"the mean of the inputs": values.mean(1), **found}
    named = names or [f"input {n}" for n in range(1, size + 1)]
    return {name: values[:, n] for n, name in enumerate(named)} | found
