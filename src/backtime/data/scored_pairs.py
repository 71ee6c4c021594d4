"""Pairs of texts and how alike they are: tab-separated lines, with a score, a label or neither.

What the third column is:

- nothing: every pair of the file is of texts that are alike
- a score: a number, the larger the more alike
- a label: ``same`` or ``different``, ``1`` or ``0``
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from backtime.data.batching.steps import LEVELS
from backtime.data.pairs import read_cells
from backtime.errors import UsageError, shown
from backtime.fields import read

TARGETS = ("pairs", "score", "label")
COLUMNS = ("auto", "score", "label", "ignore")  # what a user says of the third column
LABELS = {"same": 1.0, "different": 0.0, "1": 1.0, "0": 0.0}
EXPECTED = (
    "expected two texts and, if they are more or less alike, a score or a label, tabs between them, like "
    "'A man sleeps.', a tab, 'Somebody is asleep.', a tab, '0.9' (or 'same', 'different', 1, 0)"
)


class ScoredPair(NamedTuple):
    """Two texts, what stands in the third column (empty where there is none), and their place."""

    first: str
    second: str
    value: str
    place: str


@dataclass(frozen=True)
class PairReading:
    """How pairs are read and what a model has learned of them.

    ``level`` is what a symbol of a text is, ``target`` one of ``TARGETS``. A score s stands for the cosine
    (s - ``lowest``) / (``highest`` - ``lowest``).
    """

    level: str = "word"
    target: str = "pairs"
    lowest: float = 0.0
    highest: float = 1.0

    def __post_init__(self) -> None:
        """Check every field."""
        for name, choices in (("level", LEVELS), ("target", TARGETS)):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} is {shown(getattr(self, name))}; expected {', '.join(choices)}")
        if not (math.isfinite(self.highest - self.lowest) and self.lowest < self.highest):
            raise UsageError(f"scores from {self.lowest} to {self.highest}; expected a finite range")

    def to_json(self) -> dict[str, Any]:
        """The fields as a value for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "PairReading":
        """That of ``to_json``'s value; raises ``UsageError`` when it is something else."""
        found: PairReading = read(cls, value, "reading", complete=True)
        return found

    def cosine(self, pair: ScoredPair) -> float:
        """The cosine or the label, 0 or 1, that a pair is to have; raises ``UsageError`` at none."""
        if self.target == "score":
            return (score(pair) - self.lowest) / (self.highest - self.lowest)
        return label(pair) if self.target == "label" else 1.0

    def score(self, cosine: float) -> float:
        """The score that a cosine stands for."""
        return self.lowest + cosine * (self.highest - self.lowest)


def read_scored(source: Path | None) -> Iterator[ScoredPair]:
    """The pairs of a file, or with None of standard input, as they come; further columns are left out.

    Raises ``UsageError`` naming file and line where a text is missing, or where a line has another number of
    columns than the first one.
    """
    columns = 0
    for cells, place in read_cells(source, EXPECTED):
        columns = columns or len(cells)
        if len(cells) != columns:
            raise UsageError(f"{place} has {len(cells)} columns; expected {columns}, as in the first line")
        value = cells[2].strip() if columns > 2 else ""
        if columns > 2 and not value:
            raise UsageError(f"{place} has nothing in its third column; expected a score or a label")
        yield ScoredPair(cells[0].strip(), cells[1].strip(), value, place)


def target_of(pairs: list[ScoredPair], column: str) -> str:
    """What is learned of pairs, one of ``TARGETS``, by what a user says of their third column.

    Left to itself, a third column of nothing but ``LABELS`` has labels, any other one scores.
    """
    if column == "ignore" or (column == "auto" and not pairs[0].value):
        return "pairs"
    if not pairs[0].value:
        raise UsageError(f"{pairs[0].place} has two columns; expected three: --third-column is {column}")
    if column != "auto":
        return column
    return "label" if all(own.value.lower() in LABELS for own in pairs) else "score"


def reading_of(pairs: Iterable[ScoredPair], level: str, target: str) -> PairReading:
    """How the pairs to train on are read; scores beyond -1 and 1 are brought to 0 to 1.

    Raises ``UsageError`` where all labels or all scores are one: there is nothing to tell apart.
    """
    if target == "pairs":
        return PairReading(level)
    value = score if target == "score" else label
    found = {value(own): own for own in pairs}
    if len(found) == 1:
        [only] = found.values()
        raise UsageError(f"{only.place}: all pairs have the {target} {only.value!r}; expected two and more")
    if target == "label" or max(map(abs, found)) <= 1:
        return PairReading(level, target)
    return PairReading(level, target, min(found), max(found))


def score(pair: ScoredPair) -> float:
    """The number in the third column; raises ``UsageError`` with its place at anything else."""
    try:
        found = float(pair.value)
    except ValueError:
        raise UsageError(
            f"{pair.place} column 3 is {shown(pair.value)}; expected a number, or {', '.join(LABELS)} in "
            "every line (--third-column ignore leaves it out)"
        ) from None
    if not math.isfinite(found):
        raise UsageError(f"{pair.place} column 3 is {pair.value}; expected a finite number")
    return found


def label(pair: ScoredPair) -> float:
    """1 for the same, 0 for different; raises ``UsageError`` with its place at anything else."""
    found = LABELS.get(pair.value.lower())
    if found is None:
        raise UsageError(f"{pair.place} column 3 is {shown(pair.value)}; expected one of {', '.join(LABELS)}")
    return found
