"""A table of files and what is said or seen in them: CSV, TSV or JSON lines, with columns file and text."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from backtime.data.examples import Cells, ending, read_json_objects, read_table
from backtime.errors import UsageError

JSON_LINES = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv", *JSON_LINES)


class Entry(NamedTuple):
    """A file, its text, empty where none is asked for, and where both are named."""

    path: Path
    text: str
    place: str


def read_manifest(source: Path, expected: str, texts: bool = True) -> Iterator[Entry]:
    """The entries of a table; files are named from the table's own folder.

    Raises ``UsageError`` naming table and line where a file or, unless ``texts`` are not asked for, a text is
    missing; ``expected`` ends the complaint.
    """
    rows = _json_rows(source, expected) if ending(source) in JSON_LINES else read_table(source)
    for cells, place in rows:
        for name in ("file", "text") if texts else ("file",):
            if not cells.get(name, "").strip():
                raise UsageError(f"{place} has no {name}; {expected}")
        yield Entry(source.parent / cells["file"].strip(), cells.get("text", "").strip(), place)


def _json_rows(source: Path, expected: str) -> Iterator[Cells]:
    """The texts in the objects of a file; another value counts as missing."""
    for value, place in read_json_objects(source, expected):
        yield Cells({name: cell for name, cell in value.items() if isinstance(cell, str)}, place)
