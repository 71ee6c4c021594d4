"""A table on disk as rows of text. Every row knows its line, so that complaints can name it."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from backtime.data.text.lines import read_lines
from backtime.errors import UsageError, shown

DELIMITERS = (",", ";", "\t")
EXAMPLE = "a header and rows, as in 'date,value' and then '2024-01-31,12.5'"


class Row(NamedTuple):
    """The cells of a row, and its number in the file: the line of a CSV file, the row of another one."""

    number: int
    cells: list[str]


class Table(NamedTuple):
    """A header and rows of as many cells. ``word`` says what is counted: a line or a row."""

    name: str
    header: list[str]
    rows: list[Row]
    word: str = "line"

    def at(self, number: int) -> str:
        """The place of a row, for a complaint."""
        return f"{self.name} {self.word} {number}"


def read_table(source: Path | None) -> Table:
    """The table in a CSV file (comma, semicolon or tab) or a Parquet file; None is a CSV on standard input.

    Raises ``UsageError`` naming file and line: a row with too many or too few cells, a byte that is not
    UTF-8, a quoted cell that goes on in the next line, a column name that comes twice, no row at all.
    """
    if source is not None and source.suffix.lower() in (".parquet", ".pq"):
        table = _parquet(source)
    else:
        table = _csv(source)
    if not table.rows:
        raise UsageError(f"{table.name} has a header and no row; expected {EXAMPLE}")
    return table


def table_of(rows: list[Any]) -> Table:
    """The table of rows that came as objects, name to text or number, all with the names of the first.

    Raises ``UsageError`` naming the row, from 1.
    """
    names = list(rows[0]) if rows and isinstance(rows[0], dict) else []
    found = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not names or list(row) != names:
            wanted = "an object, a row of the table, with the names of the first row"
            raise UsageError(f"record {number} is {shown(row)}; expected {wanted}")
        found.append(Row(number, [_cell(value, number) for value in row.values()]))
    header = _checked_header([name.strip() for name in names], "the header")
    return Table("the table", header, found, "record")


def _cell(value: Any, number: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"record {number} has {shown(value)} in it; expected texts and numbers")
    return str(value)


def _csv(source: Path | None) -> Table:
    name = "standard input" if source is None else str(source)
    lines = read_lines(source)
    first = next(lines, "")
    if not first.strip():
        raise UsageError(f"{name} line 1 is empty; expected {EXAMPLE}")
    delimiter = max(DELIMITERS, key=first.count)
    rows = _rows(lines, first, delimiter, name)
    header = _checked_header([cell.strip() for cell in next(rows).cells], name)
    found = []
    for number, cells in rows:
        if len(cells) != len(header):
            raise UsageError(
                f"{name} line {number} has {len(cells)} cells; expected {len(header)}, as line 1 has"
            )
        found.append(Row(number, cells))
    return Table(name, header, found)


def _rows(lines: Iterator[str], first: str, delimiter: str, name: str) -> Iterator[Row]:
    """The rows of a CSV file that are not blank; each stands in one line."""

    def counted() -> Iterator[str]:
        yield first
        yield from lines

    reader, number = csv.reader(counted(), delimiter=delimiter, strict=True), 0
    try:
        for cells in reader:
            number += 1
            if reader.line_num != number:
                raise UsageError(_newline(name, number))
            if cells:
                yield Row(number, cells)
    except csv.Error as error:
        if reader.line_num > number + 1:
            raise UsageError(_newline(name, number + 1)) from error
        raise UsageError(f"{name} line {number + 1} is no row of a CSV file: {error}") from error


def _newline(name: str, number: int) -> str:
    return f"{name} line {number} has a quoted cell that goes on in the next line; expected a row a line"


def _checked_header(header: list[str], name: str) -> list[str]:
    twice = next((column for column in header if header.count(column) > 1), None)
    if twice is not None:
        raise UsageError(f"{name} line 1 has two columns {twice!r}; expected a name once")
    if any(_is_number(column) for column in header):
        shown = ",".join(header)
        raise UsageError(f"{name} line 1 is {shown[:60]!r}; expected names of columns: {EXAMPLE}")
    return header


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.lower() not in ("nan", "inf", "infinity")


def _parquet(source: Path) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise UsageError(f"{source}: Parquet files need pyarrow: pip install 'backtime[parquet]'") from error
    try:
        read = parquet.read_table(source)
    except pyarrow.ArrowInvalid as error:
        raise UsageError(f"{source} is no Parquet file: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror or error}") from error
    header = _checked_header(list(read.column_names), str(source))
    columns = [[_text(value) for value in column.to_pylist()] for column in read.columns]
    rows = [Row(number, list(cells)) for number, cells in enumerate(zip(*columns, strict=True), 1)]
    return Table(str(source), header, rows, "row")


def _text(value: Any) -> str:
    return "" if value is None else str(value)
