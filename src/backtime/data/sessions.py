"""Sessions: what somebody looked at, one item after the other. A table with session, item and time."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.data.examples import read_table
from backtime.data.lexicon import Lexicon
from backtime.errors import UsageError, shown
from backtime.fields import read

EXPECTED = "expected a session, an item and a time, like 's1,book,2024-05-01T10:00' below 'session,item,time'"


@dataclass(frozen=True)
class Names:
    """The columns of session, item and time."""

    session: str = "session"
    item: str = "item"
    time: str = "time"


class Session(NamedTuple):
    """A session's items in the order of their times."""

    name: str
    items: list[str]


@dataclass(frozen=True)
class Sessions:
    """Numbered sessions to train on and to validate on; every one has two items and more."""

    training: list[NDArray[np.int64]]
    held_out: list[NDArray[np.int64]]
    items: Lexicon
    names: Names

    @property
    def fingerprint(self) -> str:
        """Of the numbers."""
        found = hashlib.blake2b(digest_size=16)
        for part in (self.training, self.held_out):
            for own in (*part, np.array([-1])):
                found.update(np.array([len(own)]).tobytes() + own.tobytes())
        return found.hexdigest()

    @property
    def encoding(self) -> dict[str, Any]:
        """The items, and the columns that they stand in."""
        return {"items": self.items.to_json(), "columns": self.names.__dict__}

    def describe(self) -> str:
        """Sessions, steps and items."""
        steps = sum(map(len, self.training))
        sizes = f"{len(self.training):,} sessions of {steps:,} steps"
        return f"{sizes}, {len(self.held_out):,} to validate on, {len(self.items):,} items"


def read_sessions(source: Path | None, names: Names) -> list[Session]:
    """The sessions of a CSV or TSV file, in the order in which they begin in it; rows may be mixed.

    Raises ``UsageError`` naming file and line where a column is missing or empty, or where a time comes
    before the one above it in its session.
    """
    if source is None:
        raise UsageError(f"sessions are read from a file; {EXPECTED}")
    found: dict[str, list[str]] = {}
    last: dict[str, tuple[float, str]] = {}
    for values, place in read_table(source):
        session, item, time = (_cell(values, name, place) for name in (names.session, names.item, names.time))
        moment = _moment(time, place)
        if session in last and moment < last[session][0]:
            raise UsageError(
                f"{place} has the time {shown(time)} after {shown(last[session][1])} in session "
                f"{shown(session)}; expected the rows of a session in the order of time"
            )
        last[session] = moment, time
        found.setdefault(session, []).append(item)
    if not found:
        raise UsageError(f"{source} has no sessions in it; {EXPECTED}")
    return [Session(name, items) for name, items in found.items()]


def count_items(sessions: list[Session]) -> dict[str, int]:
    """How often each item comes."""
    return Counter(item for session in sessions for item in session.items)


def numbered(sessions: list[Session], items: Lexicon, longest: int) -> list[NDArray[np.int64]]:
    """Sessions of two items and more as numbers; one that is too long is cut, the parts sharing an item."""
    rows = (np.array(items.numbers(own.items), np.int64) for own in sessions)
    return [part for row in rows for part in _parts(row, longest)]


def names_of(encoding: dict[str, Any]) -> Names:
    """The columns of a model file."""
    found: Names = read(Names, encoding.get("columns"), "columns", complete=True)
    return found


def _parts(numbers: NDArray[np.int64], longest: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(numbers) - 1, longest):
        yield numbers[start : start + longest + 1]


def _cell(cells: dict[str, str], name: str, place: str) -> str:
    if name not in cells:
        raise UsageError(f"{place} has no column {name!r} but {', '.join(cells)[:80]}; {EXPECTED}")
    if not cells[name].strip():
        raise UsageError(f"{place} has nothing in column {name!r}; {EXPECTED}")
    return cells[name].strip()


def _moment(time: str, place: str) -> float:
    """A number, or a date and time of ISO 8601, as one number that grows with time."""
    try:
        number = float(time)
    except ValueError:
        try:
            stamp = np.datetime64(time.removesuffix("Z").replace(" ", "T"), "ms")
        except ValueError as error:
            raise UsageError(_no_time(time, place)) from error
        number = float(stamp.astype(np.int64))
    if not np.isfinite(number):
        raise UsageError(_no_time(time, place))
    return number


def _no_time(time: str, place: str) -> str:
    return f"{place} has the time {shown(time)}; expected 2024-05-01T10:00, or a number"
