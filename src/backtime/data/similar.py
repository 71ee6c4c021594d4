"""Pairs of texts to learn from as numbers: each different text once, and which ones belong together."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import Packed, pack
from backtime.data.batching.steps import symbols_of
from backtime.data.lexicon import Lexicon, opened
from backtime.data.scored_pairs import PairReading, ScoredPair
from backtime.errors import UsageError

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class NumberedPairs:
    """N pairs: the numbers of their texts, which ``records`` has encoded, and what they are to have.

    ``values`` (N,) are cosines, or labels 0 and 1, and 1 where the pairs say nothing.
    """

    records: list[Numbers]
    first: Numbers
    second: Numbers
    values: NDArray[np.float32]

    @classmethod
    def of(cls, pairs: Sequence[ScoredPair], symbols: Lexicon, reading: PairReading) -> "NumberedPairs":
        """Number the texts in the order in which they come; raises ``UsageError`` with file and line."""
        known: dict[str, int] = {}
        records: list[Numbers] = []
        sides: list[list[int]] = [[], []]
        for own in pairs:
            for side, text in zip(sides, (own.first, own.second), strict=True):
                if text not in known:
                    known[text] = len(records)
                    records.append(encoded(text, symbols, reading.level, own.place))
                side.append(known[text])
        first, second = (np.array(side, np.int64) for side in sides)
        return cls(records, first, second, np.array([reading.cosine(own) for own in pairs], np.float32))

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.first)


@dataclass(frozen=True)
class Similar:
    """Pairs to train on and to validate on, and how they became numbers."""

    training: NumberedPairs
    held_out: NumberedPairs
    symbols: Lexicon
    reading: PairReading

    @property
    def fingerprint(self) -> str:
        """Of all numbers."""
        found = hashlib.blake2b(digest_size=16)
        for part in (self.training, self.held_out):
            arrays: list[NDArray[Any]] = [*part.records, part.first, part.second, part.values]
            for own in arrays:
                found.update(np.array([len(own)]).tobytes() + own.tobytes())
        return found.hexdigest()

    @property
    def encoding(self) -> dict[str, Any]:
        """The symbols, and how pairs are read."""
        return {"symbols": self.symbols.to_json(), "reading": self.reading.to_json()}

    def describe(self) -> str:
        """Pairs, texts, symbols."""
        kind = {"pairs": "pairs", "score": "pairs with scores", "label": "pairs with labels"}
        sizes = f"{len(self.training):,} {kind[self.reading.target]}, {len(self.held_out):,} to validate on"
        return f"{sizes}, {len(self.training.records):,} texts, {len(self.symbols):,} symbols"


class Related:
    """Which texts belong to each other: those that stand in a pair. N texts in all."""

    def __init__(self, first: Numbers, second: Numbers, count: int) -> None:
        """Each pair is one in both directions."""
        self.count = count
        self.keys = np.unique(np.concatenate([first * count + second, second * count + first]))

    def __call__(self, some: Numbers, others: Numbers) -> Flags:
        """(n, m): whether text ``some[i]`` stands in a pair with ``others[j]``."""
        wanted = some[:, None] * self.count + others
        if not len(self.keys):
            return np.zeros(wanted.shape, bool)
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        found: Flags = self.keys[places] == wanted
        return found

    def of(self, start: int, stop: int) -> tuple[Numbers, Numbers]:
        """All that belong to the texts ``start`` to ``stop``: which of these, from 0, and the other text."""
        own = self.keys[slice(*np.searchsorted(self.keys, [start * self.count, stop * self.count]))]
        return own // self.count - start, own % self.count


class Ordered(NamedTuple):
    """Sequences in packed rows, and the place that each has there: the longest comes first."""

    packed: Packed
    places: Numbers


def ordered(records: Sequence[Numbers]) -> Ordered:
    """Sequences in any order as packed rows."""
    order = np.argsort([-len(own) for own in records], kind="stable")
    packed = pack([records[n] for n in order])
    return Ordered(Packed(packed.rows.astype(np.int64), packed.batch_sizes), np.argsort(order, kind="stable"))


def encoded(text: str, symbols: Lexicon, level: str, place: str) -> Numbers:
    """The numbers (T,) of a text's symbols; raises ``UsageError`` with its place where there is none."""
    found = symbols_of(text, level)
    if not found:
        raise UsageError(f"{place} has an empty text; expected at least one word")
    return np.array(symbols.numbers(found), np.int64)


def count_symbols(pairs: Iterable[ScoredPair], level: str, min_count: int) -> Lexicon:
    """The symbols that come ``min_count`` times and more in the different texts of the pairs."""
    texts = sorted({text for own in pairs for text in (own.first, own.second)})
    return opened("symbol", Counter(s for text in texts for s in symbols_of(text, level)), min_count)
