"""Pairs of texts, a sentence and its translation: tab-separated lines, or two files line by line."""

import hashlib
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from backtime.data.batching.steps import symbols_of
from backtime.data.text.lines import read_lines
from backtime.errors import UsageError, shown

EXPECTED = "expected two texts with a tab between them, like 'Go on.', a tab, 'Continue.'"
BUCKETS = 10_000  # of the hash that parts the data


class Pair(NamedTuple):
    """A text and its translation, which is empty where there is none, and the place of both."""

    source: str
    target: str
    place: str


def read_pairs(path: Path | None, targets: Path | None = None) -> Iterator[Pair]:
    """The pairs of tab-separated lines, whose third and later columns are left out, or of two files.

    Raises ``UsageError`` naming file and line where a text is missing.
    """
    if targets is not None and path is not None:
        yield from _two_files(path, targets)
        return
    for cells, place in read_cells(path, EXPECTED):
        yield Pair(cells[0].strip(), cells[1].strip(), place)


def read_cells(path: Path | None, expected: str) -> Iterator[tuple[list[str], str]]:
    """The columns of tab-separated lines, the first two with a text each, and the place of the line.

    Raises ``UsageError`` naming file and line, and what was ``expected``, where a text is missing.
    """
    name = "standard input" if path is None else str(path)
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split("\t")
        place = f"{name} line {number}"
        if len(cells) < 2 or not cells[0].strip() or not cells[1].strip():
            raise UsageError(f"{place} is {shown(line)}; {expected}")
        yield cells, place


def read_sources(path: Path | None, purpose: str = "to translate") -> Iterator[Pair]:
    """What is to be translated, or has another ``purpose``: lines of text, which end at a tab."""
    name = "standard input" if path is None else str(path)
    for number, line in enumerate(read_lines(path), 1):
        source = line.split("\t")[0].strip()
        if not source:
            raise UsageError(f"{name} line {number} is empty; expected a text {purpose}")
        yield Pair(source, "", f"{name} line {number}")


def held_out(text: str, share: float, seed: int) -> bool:
    """Whether pairs with this text are set aside: all of them or none, by a hash."""
    return hashed(text, seed) % BUCKETS < share * BUCKETS


def hashed(text: str, seed: int) -> int:
    """A number that is the same for the same text and seed, on every machine."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {text}".encode(), digest_size=8).digest())


def split_text(text: str, level: str) -> list[str]:
    """The symbols of a text: its characters, or its words and signs without case."""
    return symbols_of(text, level)


def joined(symbols: list[str], level: str) -> str:
    """The text of symbols: words with a space between them."""
    return "".join(symbols) if level == "char" else " ".join(symbols)


def _two_files(path: Path, targets: Path) -> Iterator[Pair]:
    lines = zip_longest(read_lines(path), read_lines(targets))
    for number, (source, target) in enumerate(lines, 1):
        if source is None or target is None:
            ended, other = (path, targets) if source is None else (targets, path)
            raise UsageError(f"{ended} ends before line {number}, {other} does not; expected as many lines")
        if not source.strip() or not target.strip():
            file = targets if source.strip() else path
            raise UsageError(f"{file} line {number} is empty; expected a text")
        yield Pair(source.strip(), target.strip(), f"{path} line {number}")
