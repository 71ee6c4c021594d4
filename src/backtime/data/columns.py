"""Sentences of tagged words, from the files that taggers are trained on.

- columns, as of the CoNLL tasks: a word and its tag a line among other columns, a blank line after a sentence
- CoNLL-U, of the Universal Dependencies (``*.conllu``): ten columns between tabs, comments, ranges
- pairs: a folder with ``seq.in``, a sentence a line, and ``seq.out``, as many tags in the same line

Files may be compressed (``*.gz``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from backtime.data.text.lines import read_lines
from backtime.errors import UsageError

DOCUMENT = "-DOCSTART-"  # a line of its own in CoNLL-2003
COLUMN_FILES = (".conllu", ".conll", ".iob", ".iob2", ".bio")
EXAMPLE = "'London B-city'"
EXPECTED = f"expected a word and its tag a line, like {EXAMPLE}, and a blank line between sentences"


class Sentence(NamedTuple):
    """Words, a tag for each where the file has them, and where it begins: file and line."""

    words: list[str]
    tags: list[str]
    place: str


@dataclass(frozen=True)
class Places:
    """The numbers of the columns of words and tags, from 1; 0 is that which the kind of file has."""

    word: int = 0
    tag: int = 0


@dataclass(frozen=True)
class Columns:
    """Which columns hold words and tags, counted from 1, and what kind of file it is."""

    word: int
    tag: int  # 0: the last one; -1: there is none to read
    conllu: bool = False


DEFAULTS = Places()


def read_tagged(source: Path, places: Places = DEFAULTS) -> Iterator[Sentence]:
    """The tagged sentences of a file or of a folder of pairs, as they come.

    Words and tags are in the first and the last column, and in CoNLL-U in those of words and of universal
    parts of speech, unless ``places`` says otherwise. Raises ``UsageError`` naming file and line.
    """
    if source.is_dir():
        return _read_pairs(source)
    if _ending(source) == ".conllu":
        return _read_columns(source, Columns(places.word or 2, places.tag or 4, conllu=True))
    return _read_columns(source, Columns(places.word or 1, places.tag))


def read_untagged(source: Path | None, word: int = 0) -> Iterator[Sentence]:
    """The sentences to be tagged: the words of each line of a text; None is standard input.

    Of a file whose name is one of columns (``*.conllu``, ``*.conll``, ``*.iob``, ``*.bio``) those of the
    column ``word``, and of a folder the lines of ``seq.in``.
    """
    ending = _ending(source) if source else ""
    if source and ending in COLUMN_FILES:
        conllu = ending == ".conllu"
        yield from _read_columns(source, Columns(word or 1 + conllu, -1, conllu))
        return
    source = source / "seq.in" if source is not None and source.is_dir() else source
    for number, line in enumerate(read_lines(source), 1):
        place = f"{source or 'standard input'} line {number}"
        if not line.split():
            raise UsageError(f"{place} is empty; expected the words of a sentence")
        yield Sentence(line.split(), [], place)


def _ending(source: Path) -> str:
    return Path(source.name.removesuffix(".gz")).suffix.lower()


def _read_columns(source: Path, columns: Columns) -> Iterator[Sentence]:
    """A sentence for each block of lines."""
    words: list[str] = []
    tags: list[str] = []
    begun = 0
    for number, cells in _blocks(source, columns):
        if not cells:
            if words:
                yield Sentence(words, tags, f"{source} line {begun}")
            words, tags = [], []
            continue
        begun = begun if words else number
        words.append(_filled(cells[columns.word - 1], source, number, "word"))
        if columns.tag >= 0:
            tags.append(_filled(cells[columns.tag - 1], source, number, "tag"))


def _blocks(source: Path, columns: Columns) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that has a word; without cells where a sentence ends."""
    width, first, number = 10 if columns.conllu else 0, 0, 0
    for number, line in enumerate(read_lines(source), 1):
        if not line.strip() or line.startswith(DOCUMENT):
            yield number, []
            continue
        if columns.conllu and line.startswith("#"):
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        width, first = width or len(cells), first or number
        _check_width(f"{source} line {number}", len(cells), width, first, columns)
        if columns.conllu and not cells[0].isdecimal():
            continue  # 3-4: the range of a contraction, whose parts follow; 5.1: a word that is not there
        yield number, cells
    yield number, []


def _check_width(where: str, count: int, width: int, first: int, columns: Columns) -> None:
    has = f"{where} has {count} column{'s' * (count != 1)}"
    if count != width:
        like = "of CoNLL-U" if columns.conllu else f"as in line {first}: a word and its tag, like {EXAMPLE}"
        raise UsageError(f"{has}; expected {width}, {like}")
    if width < 2 and columns.tag >= 0:
        raise UsageError(f"{has}; {EXPECTED}")
    for name, column in (("word", columns.word), ("tag", columns.tag)):
        if column > width:
            raise UsageError(f"{has}; --{name}-column is {column}")


def _filled(cell: str, source: Path, number: int, name: str) -> str:
    if not cell.strip():
        raise UsageError(f"{source} line {number} has an empty {name}; {EXPECTED}")
    return cell


def _read_pairs(folder: Path) -> Iterator[Sentence]:
    """Line by line, the words of seq.in and the tags of seq.out."""
    names = [folder / "seq.in", folder / "seq.out"]
    for path in names:
        if not path.is_file():
            raise UsageError(f"{folder} has no {path.name}; expected a folder with seq.in and seq.out")
    for number, (text, tags) in enumerate(zip_longest(*map(read_lines, names)), 1):
        if text is None or tags is None:
            ended, other = names if text is None else names[::-1]
            raise UsageError(f"{ended} ends before line {number}, {other} does not; expected as many lines")
        words, own = text.split(), tags.split()
        if len(words) != len(own):
            raise UsageError(
                f"{names[0]} line {number} has {len(words)} words, {names[1]} has {len(own)} tags there; "
                "expected as many"
            )
        if not words:
            raise UsageError(f"{names[0]} line {number} is empty; expected the words of a sentence")
        yield Sentence(words, own, f"{names[0]} line {number}")
