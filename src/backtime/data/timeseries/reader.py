"""A table as series of numbers: which column is what, and what is refused."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.data.timeseries.table import EXAMPLE, Row, Table
from backtime.data.timeseries.times import NUMBER, Step, Times, find_format, find_step, parse, parser, text
from backtime.errors import UsageError, shown

Values = NDArray[np.float64]
NOW = 1_700_000_000_000_000  # a time to show the format with
MOST_FILLED = 100  # rows for each one that is there
GAPS = ("refuse", "fill", "split")


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are for.

    - ``time``, and ``series``, which names the series that a row belongs to (empty: there is one)
    - ``targets`` are forecast; ``past`` is known up to now; ``known`` is known ahead too: prices, holidays
    - ``format``: that of the times, as ``strptime`` has it, or ``"number"``
    """

    time: str
    targets: tuple[str, ...]
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    series: str = ""
    format: str = "%Y-%m-%d"

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns of numbers, in the order of a series' values."""
        return (*self.targets, *self.past, *self.known)

    def to_json(self) -> dict[str, Any]:
        """The fields as a value for JSON."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Any) -> "Columns":
        """The columns of ``to_json``'s value; raises ``UsageError`` when it is something else."""
        names = [field.name for field in fields(cls)]
        if not isinstance(value, dict) or sorted(value) != sorted(names):
            raise UsageError(f"columns are {shown(value)}; expected an object of {', '.join(names)}")
        for name, own in value.items():
            listed = name in ("targets", "past", "known")
            if not (_is_texts(own) if listed else isinstance(own, str)):
                raise UsageError(f"{name} is {shown(own)}; expected {'names' if listed else 'a text'}")
        lists = {name: tuple(v) for name, v in value.items() if isinstance(v, list)}
        return cls(**{**value, **lists})


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(own, str) for own in value)


class Series(NamedTuple):
    """One series without a gap: times (N,), values (N, C) in the order of ``Columns.numbers``.

    The first ``observed`` rows have every value, the rest only those that are known ahead. ``numbers`` (N,)
    are the rows in the table, ``source`` what to call them.
    """

    name: str
    times: Times
    values: Values
    observed: int
    numbers: list[int]
    source: str

    def at(self, n: int) -> str:
        """The place of a row, for a complaint."""
        return f"{self.source} {self.numbers[n]}"

    def first(self, number: int) -> "Series":
        """The first rows."""
        return _piece(self, 0, number)

    @property
    def title(self) -> str:
        """The name for a complaint."""
        return f"series {self.name!r}" if self.name else "the series"


def choose_columns(
    table: Table,
    time: str = "",
    targets: Iterable[str] = (),
    past: Iterable[str] = (),
    known: Iterable[str] = (),
    series: str = "",
    time_format: str = "",
) -> Columns:
    """The roles of a table's columns: the first is the time, and what has no role is a target.

    Raises ``UsageError`` where a column is not there or has two roles, and where the times are none.
    """
    time = time or table.header[0]
    targets, past, known = tuple(targets), tuple(past), tuple(known)
    named = [time, *([series] if series else []), *targets, *past, *known]
    for name in named:
        if name not in table.header:
            raise UsageError(f"{table.name} has no column {name!r}; it has {', '.join(table.header)[:200]}")
        if named.count(name) > 1:
            raise UsageError(f"column {name!r} has two roles; expected one")
    targets = targets or tuple(name for name in table.header if name not in named)
    if not targets:
        raise UsageError(f"{table.name} has no column left to forecast; expected {EXAMPLE}")
    first = table.rows[0]
    cell = first.cells[table.header.index(time)].strip()
    form = time_format or find_format(cell)
    if form is None:
        raise UsageError(
            f"{table.at(first.number)}, column {time!r}, is {cell[:30]!r}; expected a time such as "
            "2024-01-31 or 2024-01-31 13:00:00, or --time-format"
        )
    return Columns(time, targets, past, known, series, form)


def read_series(
    table: Table, columns: Columns, step: Step | None = None, gaps: str = "refuse", ahead: bool = False
) -> tuple[list[Series], Step]:
    """The series of a table, and the step between their rows, ``step`` where a model expects one.

    A gap in time is refused, filled with straight lines, or splits a series in two. With ``ahead`` the last
    rows of a series may lack targets and past: there the future begins. Raises ``UsageError`` naming file,
    line and column: a column that is missing, a time that is none, comes twice or falls, a gap, a number that
    is none, is not finite or is missing.
    """
    for name in (columns.time, *([columns.series] if columns.series else []), *columns.numbers):
        if name not in table.header:
            raise UsageError(f"{table.name} has no column {name!r}; it has {', '.join(table.header)[:200]}")
    groups = _groups(table, columns)
    times = {name: _times(table, columns, rows) for name, rows in groups.items()}
    for name, rows in groups.items():
        _check_order(table, columns, rows, times[name])
    found = _step(table, times, columns, step)
    series = []
    for name, rows in groups.items():
        whole = _series(table, columns, name, rows, times[name], ahead)
        series += _without_gaps(table, columns, whole, found, gaps)
    return series, found


def _groups(table: Table, columns: Columns) -> dict[str, list[Row]]:
    """The rows of each series, in the order of the table."""
    if not columns.series:
        return {"": table.rows}
    where, groups = table.header.index(columns.series), {}  # type: ignore[var-annotated]
    for row in table.rows:
        groups.setdefault(row.cells[where].strip(), []).append(row)
    return groups


def _times(table: Table, columns: Columns, rows: list[Row]) -> Times:
    where = table.header.index(columns.time)
    form = _format(rows[0].cells[where].strip(), columns.format)
    number = parser(form)
    times = np.empty(len(rows), np.int64)
    for n, row in enumerate(rows):
        cell = row.cells[where].strip()
        try:
            times[n] = number(cell)
        except (ValueError, OverflowError) as error:
            expected = "a whole number" if form == NUMBER else f"a time such as {text(NOW, form)}"
            raise UsageError(
                f"{table.at(row.number)}, column {columns.time!r}, is {cell[:30]!r}; expected {expected}"
            ) from error
    return times


def _format(cell: str, expected: str) -> str:
    """The format of a column that begins with ``cell``: the model's, or another one of dates."""
    try:
        parse(cell, expected)
    except ValueError:
        found = find_format(cell)
        return expected if found is None or NUMBER in (found, expected) else found
    return expected


def _check_order(table: Table, columns: Columns, rows: list[Row], times: Times) -> None:
    """Raise ``UsageError`` at a time that comes twice or falls."""
    for n in np.flatnonzero(np.diff(times) <= 0)[:1].tolist():
        now, before = (text(int(times[k]), columns.format) for k in (n + 1, n))
        place = table.at(rows[n + 1].number)
        if times[n + 1] == times[n]:
            hint = "" if columns.series else "; several series in one table need --series-column"
            raise UsageError(f"{place} has the time {now} again; expected each time once{hint}")
        raise UsageError(f"{place} has the time {now} after {before}; expected rising times: sort the rows")


def _step(table: Table, times: dict[str, Times], columns: Columns, expected: Step | None) -> Step:
    found = find_step(list(times.values()), columns.format)
    if expected is not None and found is not None and found != expected and found.size != expected.size:
        raise UsageError(f"{table.name} has rows {found} apart; the model was trained on {expected}")
    if expected is None and found is None:
        raise UsageError(f"{table.name} has no series of two rows; expected {EXAMPLE}, and many rows")
    return expected or found  # type: ignore[return-value]  # one of them is there


def _series(table: Table, columns: Columns, name: str, rows: list[Row], times: Times, ahead: bool) -> Series:
    own = len(columns.targets) + len(columns.past)
    places = [table.header.index(column) for column in columns.numbers]
    observed = len(rows)
    if ahead:  # rows at the end without any target are the future
        targets = places[: len(columns.targets)]
        while observed and not any(rows[observed - 1].cells[place].strip() for place in targets):
            observed -= 1
    values = np.full((len(rows), len(places)), np.nan)
    for n, row in enumerate(rows):
        for c in range(0 if n < observed else own, len(places)):
            values[n, c] = _number(table, row, places[c])
    return Series(name, times, values, observed, [row.number for row in rows], f"{table.name} {table.word}")


def _number(table: Table, row: Row, place: int) -> float:
    cell = row.cells[place].strip()
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and "_" not in cell:
        return value
    came = f"is {cell[:30]!r}" if cell else "is empty"
    raise UsageError(
        f"{table.at(row.number)}, column {table.header[place]!r}, {came}; expected a finite number"
    )


def _without_gaps(table: Table, columns: Columns, series: Series, step: Step, gaps: str) -> list[Series]:
    """The series in pieces without a gap, or with its gaps filled."""
    places = step.places(series.times)
    jumps = np.diff(places)
    odd = (jumps % step.size != 0) | (jumps < step.size)
    cuts = np.flatnonzero((jumps != step.size) if gaps == "refuse" else odd)
    if cuts.size:
        n = int(cuts[0])
        now, before = (text(int(series.times[k]), columns.format) for k in (n + 1, n))
        expected = text(step.after(int(series.times[n]), 1), columns.format)
        advice = (
            f"not a multiple of {step}"
            if odd[n]
            else "a gap in time, which train --gaps fill or split allows"
        )
        raise UsageError(
            f"{table.at(series.numbers[n + 1])} has the time {now} after {before}; expected {expected} "
            f"({step} later); {advice}"
        )
    if gaps == "fill":
        return [_filled(series, step, places)]
    borders = [0, *(np.flatnonzero(jumps != step.size) + 1).tolist(), len(places)]
    return [_piece(series, a, b) for a, b in pairwise(borders)]


def _piece(series: Series, start: int, end: int) -> Series:
    return Series(
        series.name,
        series.times[start:end],
        series.values[start:end],
        max(0, min(series.observed, end) - start),
        series.numbers[start:end],
        series.source,
    )


def _filled(series: Series, step: Step, places: Times) -> Series:
    """The series with straight lines across its gaps; a filled row has the number of the row before."""
    rows = (places - places[0]) // step.size
    if rows[-1] > MOST_FILLED * len(rows):
        n = int(np.diff(rows).argmax())
        raise UsageError(
            f"{series.at(n + 1)} comes {rows[n + 1] - rows[n]:,} steps later; too long a gap to fill"
        )
    every = np.arange(int(rows[-1]) + 1)
    before = np.searchsorted(rows, every, "right") - 1
    late = every - rows[before]
    times = [step.after(int(series.times[b]), int(k)) for b, k in zip(before, late, strict=True)]
    values = np.stack([np.interp(every, rows, column) for column in series.values.T], 1)
    observed = int(rows[series.observed - 1]) + 1 if series.observed else 0
    numbers = [series.numbers[b] for b in before]
    return Series(series.name, np.array(times, np.int64), values, observed, numbers, series.source)
