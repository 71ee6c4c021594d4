"""How often what belongs to a text is found among its nearest neighbours: recall@k."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.similar import Related

TOPS = (1, 5, 10)
AT_ONCE = 2**22  # likenesses that are looked at, of some texts to all
Scores = Callable[[NDArray[np.int64]], NDArray[Any]]


def ranks(scores: Scores, related: Related) -> NDArray[np.int64]:
    """For each text that has one, the rank of the best text that stands in a pair with it.

    ``scores`` gives the likeness (n, N) of n texts to all N. The rank is one more than the number of the
    other texts, without the text itself, that are at least as near: equal ones count against it.
    """
    N, found = related.count, [np.zeros(0, np.int64)]
    rows = max(1, AT_ONCE // N)
    for start in range(0, N, rows):
        some = np.arange(start, min(start + rows, N))
        near = np.array(scores(some), np.float64)
        right = np.zeros(near.shape, bool)
        right[related.of(start, start + rows)] = True
        own = (some - start, some)  # a text is not its own neighbour
        right[own], near[own] = False, -np.inf
        best = np.where(right, near, -np.inf).max(1, keepdims=True)
        found.append(1 + ((near >= best) & ~right).sum(1)[right.any(1)])
    return np.concatenate(found)


def recall(found: NDArray[np.int64], tops: Sequence[int] = TOPS) -> dict[str, float]:
    """The share of ``ranks`` up to k, by its name, for each k."""
    return {f"recall_{k}": float((found <= k).mean()) if len(found) else 0.0 for k in tops}
