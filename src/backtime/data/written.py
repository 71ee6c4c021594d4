"""Texts that are to be written, each beside what is read for it: as numbers, in batches, as a fingerprint."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.steps import symbols_of
from backtime.data.lexicon import Lexicon, opened

Numbers = NDArray[np.int64]
Record = tuple[NDArray[Any], Numbers]  # what is read, and the numbers of the text
Arrays = tuple[NDArray[Any], NDArray[Any]]


def lexicon_of(texts: Iterable[str], level: str, min_count: int) -> Lexicon:
    """The symbols that come ``min_count`` times in the texts; others are unknown."""
    return opened("symbol", Counter(own for text in texts for own in symbols_of(text, level)), min_count)


def fingerprint(*parts: Sequence[Arrays]) -> str:
    """Of all numbers, in their order, in parts."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        for record in part:
            for side in record:
                found.update(np.array(side.shape).tobytes() + side.tobytes())
        found.update(b"end")
    return found.hexdigest()


class Padded(NamedTuple):
    """Rows of numbers side by side (T, B), zeros after their ends, and their lengths (B,)."""

    numbers: Numbers
    lengths: Numbers

    @classmethod
    def of(cls, rows: Sequence[Numbers]) -> "Padded":
        """Put rows of any lengths beside each other."""
        found = np.zeros((max(map(len, rows)), len(rows)), np.int64)
        for n, row in enumerate(rows):
            found[: len(row), n] = row
        return cls(found, np.array([len(row) for row in rows], np.int64))
