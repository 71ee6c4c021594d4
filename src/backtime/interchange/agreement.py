"""How far an exported file may be from the model that it was made of: one bound for every format."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from backtime.errors import UsageError

BOUND = 1e-4  # of the largest output, or of 1: float32 differs by 1e-6 or so, a wrong gate by 0.1


def agreement(pairs: Iterable[tuple[Any, Any]], who: str) -> tuple[float, float]:
    """The largest difference, and the largest output, of pairs (ours, theirs) of arrays.

    Raises ``UsageError`` where the difference is more than ``BOUND`` of the output, or where anything is not
    finite; ``who`` are the two that differ. NumPy's maximum keeps a NaN, where Python's drops it unless it
    comes first.
    """
    sizes = [
        (np.abs(ours - theirs).max(initial=0.0), np.abs(ours).max(initial=0.0)) for ours, theirs in pairs
    ]
    worst, largest = (float(n) for n in np.max(sizes, axis=0))
    if not (np.isfinite(largest) and worst <= BOUND * max(1.0, largest)):
        raise UsageError(
            f"{who} differ by {worst:.2g}, of outputs up to {largest:.3g}; expected {BOUND:g} of it at most: "
            "no file is written"
        )
    return worst, largest
