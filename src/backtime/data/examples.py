"""Labelled texts: CSV, TSV, JSON lines, two files line by line, or a folder with a file for each label."""

import csv
import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from backtime.data.text.lines import read_lines
from backtime.errors import UsageError

EXPECTED = "expected a text and its label, like {}"
SAMPLES = {
    ".csv": "'text,label' above 'play a song,music'",
    ".tsv": "'text', a tab and 'label' above 'play a song', a tab and 'music'",
    ".jsonl": '\'{"text": "play a song", "label": "music"}\'',
}


class Example(NamedTuple):
    """A text, or steps (T, I) of numbers, its label where it has one, and where it is: file and line.

    ``size`` is that of an image, or of the frames of a clip: ``"28 x 28"``.
    """

    content: Any
    label: str | None
    place: str
    size: str = ""


class Cells(NamedTuple):
    """A line of a table by the names of its columns, and where it is."""

    values: dict[str, str]
    place: str


def read_table(source: Path) -> Iterator[Cells]:
    """The lines of a CSV or, where its name ends in ``.tsv``, of a TSV file, below a head of names.

    Every record is one line, so that a file is read as it grows: a line break within quotes is refused.
    """
    separator = "\t" if ending(source) == ".tsv" else ","
    names: list[str] = []
    for number, line in enumerate(read_lines(source), 1):
        place = f"{source} line {number}"
        if not line.strip():
            continue
        cells = _split(line, separator, place)
        if not names:
            names = _checked_head([cell.strip() for cell in cells], place)
            continue
        if len(cells) != len(names):
            raise UsageError(f"{place} has {len(cells)} columns; expected {len(names)}: {_some(names)}")
        yield Cells(dict(zip(names, cells, strict=True)), place)


def head_of(source: Path) -> list[str]:
    """The names of the columns of a table; empty when it has no line."""
    separator = "\t" if ending(source) == ".tsv" else ","
    for number, line in enumerate(read_lines(source), 1):
        if line.strip():
            place = f"{source} line {number}"
            return _checked_head([cell.strip() for cell in _split(line, separator, place)], place)
    return []


def read_text_table(source: Path, text: str, label: str, labelled: bool) -> Iterator[Example]:
    """The texts and labels of a table, which has columns of these names."""
    for cells, place in read_table(source):
        for name in (text, label) if labelled else (text,):
            if name not in cells:
                sample = SAMPLES.get(ending(source), SAMPLES[".csv"])
                raise UsageError(
                    f"{place} has no column {name!r} but {_some(list(cells))}; {EXPECTED.format(sample)}"
                )
        yield example(cells[text], cells.get(label), place, labelled)


def read_json_lines(source: Path, text: str, label: str, labelled: bool) -> Iterator[Example]:
    """The texts and labels of the objects of a file, one a line."""
    expected = EXPECTED.format(SAMPLES[".jsonl"])
    for value, place in read_json_objects(source, expected):
        if not isinstance(value.get(text), str):
            raise UsageError(f"{place} has no text in {text!r}; {expected}")
        own = value.get(label)
        if own is not None and (isinstance(own, bool) or not isinstance(own, str | int | float)):
            raise UsageError(f"{place} has the label {own!r}; {expected}")
        yield example(value[text], None if own is None else str(own), place, labelled)


def read_json_objects(source: Path, expected: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of a file, one a line, and where each is; ``expected`` ends a complaint about another."""
    for number, line in enumerate(read_lines(source), 1):
        place = f"{source} line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{place} is no JSON object ({error}); {expected}") from error
        if not isinstance(value, dict):
            raise UsageError(f"{place} is no JSON object; {expected}")
        yield value, place


def read_pairs(folder: Path, labelled: bool) -> Iterator[Example]:
    """Line by line, the texts of ``seq.in`` and the labels of ``label``."""
    names = [folder / "seq.in", folder / "label"]
    labels = read_lines(names[1]) if labelled else iter(())
    for number, (text, label) in enumerate(zip_longest(read_lines(names[0]), labels), 1):
        if labelled and (text is None or label is None):
            ended, other = names if text is None else names[::-1]
            raise UsageError(f"{ended} ends before line {number}, {other} does not; expected as many lines")
        yield example(text, label, f"{names[0]} line {number}", labelled)


def read_files_of_labels(folder: Path) -> Iterator[Example]:
    """Each line of each ``*.txt`` file; the file's name is the label."""
    for path in sorted(folder.glob("*.txt")):
        for number, line in enumerate(read_lines(path), 1):
            yield example(line, path.stem, f"{path} line {number}", True)


def read_plain(source: Path | None) -> Iterator[Example]:
    """A text a line, without labels; None is standard input."""
    for number, line in enumerate(read_lines(source), 1):
        yield example(line, None, f"{source or 'standard input'} line {number}", False)


def example(text: str, label: str | None, place: str, labelled: bool) -> Example:
    """A checked example; raises ``UsageError`` where text or label is empty."""
    if not text.strip():
        raise UsageError(f"{place} has an empty text; expected at least one word")
    label = label.strip() if label else None
    if labelled and not label:
        raise UsageError(f"{place} has no label; expected one")
    return Example(text, label, place)


def ending(source: Path) -> str:
    """The last part of a file's name, in small letters: ``.csv``, also of ``a.csv.gz``."""
    return Path(source.name.removesuffix(".gz")).suffix.lower()


def _split(line: str, separator: str, place: str) -> list[str]:
    if separator == "\t":
        return line.split("\t")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        if line.count('"') % 2:
            raise UsageError(
                f"{place}: a quote does not end in its line; expected a record a line, with a space for a "
                "line break"
            ) from error
        raise UsageError(f"{place} is no CSV: {error}") from error


def _checked_head(names: list[str], place: str) -> list[str]:
    if len(set(names)) != len(names):
        raise UsageError(f"{place} names a column twice: {_some(names)}; expected a head of different names")
    return names


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
