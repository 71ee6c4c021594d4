"""Pairs of texts to train on and to validate on, with no text in both parts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backtime.data.pairs import hashed
from backtime.data.scored_pairs import EXPECTED, ScoredPair, read_scored
from backtime.errors import UsageError


def read_all(source: Path) -> list[ScoredPair]:
    """All pairs of a file; raises ``UsageError`` where there is none."""
    pairs = list(read_scored(source))
    if not pairs:
        raise UsageError(f"{source} has no pairs in it; {EXPECTED}")
    return pairs


def read_parts(
    pairs: list[ScoredPair], valid_file: Path | None, share: float, seed: int
) -> tuple[list[ScoredPair], list[ScoredPair]]:
    """The pairs to train on, and those to validate on: a file's, or a share that is drawn."""
    if valid_file is not None:
        return pairs, read_all(valid_file)
    aside = draw_held_out(pairs, share, seed)
    training = [own for own, out in zip(pairs, aside, strict=True) if not out]
    return training, [own for own, out in zip(pairs, aside, strict=True) if out]


def draw_held_out(pairs: Sequence[ScoredPair], share: float, seed: int) -> NDArray[np.bool_]:
    """Which pairs are set aside: a share of them, and no text of theirs stands in any other pair.

    Pairs that have a text in common, directly or through others, are a group. Groups are taken in the order
    of a hash, each whole, where it does not exceed the share that is left. One pair stays. Needs SciPy.
    """
    group, heads = _groups(pairs)
    sizes = np.bincount(group)
    left, chosen = min(round(len(pairs) * share), len(pairs) - 1), np.zeros(len(sizes), bool)
    for n in sorted(range(len(sizes)), key=lambda n: hashed(heads[n], seed)):
        if sizes[n] <= left:
            chosen[n], left = True, left - sizes[n]
    found: NDArray[np.bool_] = chosen[group]
    return found


def _groups(pairs: Sequence[ScoredPair]) -> tuple[NDArray[np.int32], list[str]]:
    """The group (N,) of each pair, and of each group the first text in the order of the alphabet."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    texts = sorted({text for own in pairs for text in own[:2]})
    numbers = {text: n for n, text in enumerate(texts)}
    ends = [[numbers[own[side]] for own in pairs] for side in (0, 1)]
    links = coo_matrix((np.ones(len(pairs)), ends), shape=(len(texts), len(texts)))
    _, group = connected_components(links, directed=False)
    return group[ends[0]], [texts[n] for n in np.unique(group, return_index=True)[1]]
