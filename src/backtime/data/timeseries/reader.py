"""A table as series of numbers; what is refused is named by file, line and column."""

import math

import numpy as np

from backtime.data.timeseries.columns import Columns
from backtime.data.timeseries.gaps import without_gaps
from backtime.data.timeseries.series import Series
from backtime.data.timeseries.table import EXAMPLE, Row, Table
from backtime.data.timeseries.times import NUMBER, Step, Times, find_format, find_step, parse, parser, text
from backtime.errors import UsageError

NOW = 1_700_000_000_000_000  # a time to show the format with


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
        series += without_gaps(table, columns, whole, found, gaps)
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
