"""Labelled examples of any kind: which reader a file or folder needs."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtime.data import examples, images
from backtime.data.examples import Example, ending, head_of
from backtime.data.series.archives import read_npz
from backtime.data.series.numbers import is_number
from backtime.data.series.tables import read_json, read_long_table, read_wide_table
from backtime.data.series.ts import read_ts
from backtime.errors import UsageError
from backtime.fields import read

EXPECTED = (
    "expected CSV, TSV or JSON lines of texts, .ts, .npz, idx, or a folder: seq.in and label, LABEL.txt, "
    "LABEL/*.png"
)


@dataclass(frozen=True)
class Reading:
    """How files are read.

    ``text``, ``label`` and ``series`` are names of columns, ``level`` is what a symbol of a text is, and
    ``steps`` whether those of an image are its ``rows`` or its ``pixels``.
    """

    text: str = "text"
    label: str = "label"
    series: str = "series"
    steps: str = "rows"
    level: str = "word"

    def to_json(self) -> dict[str, Any]:
        """The fields as a value for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "Reading":
        """That of ``to_json``'s value; raises ``UsageError`` when it is something else."""
        found: Reading = read(cls, value, "reading", complete=True)
        return found


def read_labelled(source: Path, reading: Reading) -> Iterator[Example]:
    """The examples of a file or folder; raises ``UsageError`` naming file and line."""
    return (_stepped(example, reading) for example in _read(source, reading, True))


def read_unlabelled(source: Path | None, reading: Reading, texts: bool) -> Iterator[Example]:
    """Examples whose label need not be there. ``texts`` says that texts are wanted, not numbers.

    None is standard input: a text a line, or the numbers of a series, ``[[1.5, 2], [1.6, 2]]``.
    """
    if source is None:
        return examples.read_plain(None) if texts else read_json(None)
    if images.is_picture(source) or (source.is_dir() and not texts):
        found = images.read_unlabelled(source)
    elif texts and not source.is_dir() and ending(source) not in (".csv", ".tsv", ".jsonl", ".ndjson"):
        found = examples.read_plain(source)
    else:
        found = _read(source, reading, False)
    return (_stepped(example, reading) for example in found)


def _read(source: Path, reading: Reading, labelled: bool) -> Iterator[Example]:
    if source.is_dir():
        return _read_folder(source, labelled)
    kind = ending(source)
    if kind in (".csv", ".tsv"):
        return _read_table(source, reading, labelled)
    if kind in (".jsonl", ".ndjson"):
        return examples.read_json_lines(source, reading.text, reading.label, labelled)
    if kind == ".ts":
        return read_ts(source, labelled)
    if kind == ".npz":
        return read_npz(source, labelled)
    if images.is_idx(source):
        return images.read_idx(source, labelled)
    raise UsageError(f"{source} {'is of another kind' if source.exists() else 'is not there'}; {EXPECTED}")


def _read_folder(folder: Path, labelled: bool) -> Iterator[Example]:
    if (folder / "seq.in").exists():
        return examples.read_pairs(folder, labelled)
    if any(folder.glob("*.txt")):
        return examples.read_files_of_labels(folder)
    if images.is_folder_of_pictures(folder):
        return images.read_pictures(folder)
    raise UsageError(f"{folder} has no examples in it; {EXPECTED}")


def _read_table(source: Path, reading: Reading, labelled: bool) -> Iterator[Example]:
    names = head_of(source)
    if reading.series in names:
        return read_long_table(source, reading.series, reading.label, labelled)
    if reading.text not in names and (reading.label in names or not labelled) and _numeric(source, reading):
        return read_wide_table(source, reading.label, labelled)
    return examples.read_text_table(source, reading.text, reading.label, labelled)


def _numeric(source: Path, reading: Reading) -> bool:
    """Whether the first line of a table has a number beside its label."""
    for cells, _ in examples.read_table(source):
        values = [cell for name, cell in cells.items() if name != reading.label]
        return bool(values) and is_number(values[0])
    return False


def _stepped(example: Example, reading: Reading) -> Example:
    """The numbers of an example as steps (T, I): an image's rows or pixels, a clip's frames."""
    content = example.content
    if isinstance(content, str):
        return example
    if reading.steps == "pixels":
        return example._replace(content=content.reshape(-1, 1))
    return example._replace(content=np.reshape(content, (len(content), -1)))
