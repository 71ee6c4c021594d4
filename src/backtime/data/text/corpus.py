"""Find the files of a corpus: a text file, a folder of them, or the standard library's sources."""

import codecs
import os
import sysconfig
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from backtime.errors import UsageError

RUN_MARKS = ({"tokens.bin", "tokens.json"}, {"config.json", ".lock"})  # of run folders
SHOWN = 8  # files of a folder, by name
HEAD = 1 << 16  # bytes that decide whether a file of a folder is text

# Of the standard library: no tests, no demonstrations, no tables, nothing installed on top of it.
NOT_STANDARD = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idlelib", "turtledemo"}
    | {"lib2to3", "encodings", "pydoc_data"}
)


@dataclass(frozen=True)
class Source:
    """One file of a corpus, as it was when the corpus was found."""

    path: Path
    size: int  # bytes
    mtime_ns: int


@dataclass(frozen=True)
class Corpus:
    """The files that make one text, in order, and those of its folder that are not text."""

    name: str
    files: tuple[Source, ...]
    skipped_files: tuple[Path, ...] = ()

    @property
    def skipped(self) -> int:
        """How many files are not text."""
        return len(self.skipped_files)

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(source.size for source in self.files)

    def describe(self) -> str:
        """Which files of a folder make the text, and which do not."""
        root = Path(self.name)
        read = [str(source.path.relative_to(root)) for source in self.files]
        skipped = [str(path.relative_to(root)) for path in self.skipped_files]
        left_out = f"; {len(skipped)} skipped, which are no text: {_some(skipped)}" if skipped else ""
        return f"{len(read)} files ({_some(read)}{left_out})"

    def check_unchanged(self) -> None:
        """Raise ``UsageError`` if a file is no longer as it was found."""
        for source in self.files:
            if _source(source.path) != source:
                raise UsageError(f"{source.path} changed while it was read; start again")


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def find_corpus(path: Path | str | None, level: str, run_folder: Path | None = None) -> Corpus:
    """The corpus at ``path``: a file, a folder, or with None the Python standard library's own sources.

    Of a folder, all files that start as text, at any depth, sorted by their path; hidden files and folders,
    empty files, ``run_folder`` and other run folders are left out. Raises ``UsageError`` when there is no
    text.
    """
    if path is None:
        return _standard_library(Path(sysconfig.get_path("stdlib")))
    path = Path(path)
    source = _source(path)
    if path.is_dir():
        return _folder(path, level, run_folder)
    if not path.is_file():
        raise UsageError(f"{path} is not a regular file; a corpus is read twice, so save it to a file first")
    if source.size == 0:
        raise UsageError(f"{path} is empty; expected a text")
    return Corpus(str(path), (source,))


def _folder(folder: Path, level: str, run_folder: Path | None) -> Corpus:
    own = run_folder.resolve() if run_folder else None
    if own == folder.resolve():
        raise UsageError(f"{folder} is both the corpus and the run folder; give another --out")
    found = [source for path in _walk(folder, own) if (source := _source(path)).size]
    text = tuple(source for source in found if _starts_as_text(source.path, level))
    chosen = {source.path for source in text}
    skipped = tuple(source.path for source in found if source.path not in chosen)
    if not text:
        others = f" ({len(skipped)} files in it are not UTF-8)" if skipped else ""
        raise UsageError(f"{folder} has no text in it{others}; expected a folder of text files")
    return Corpus(str(folder), text, skipped)


def _standard_library(root: Path) -> Corpus:
    paths = [path for path in _walk(root, skip=NOT_STANDARD) if path.suffix == ".py"]
    paths = [path for path in paths if not path.name.startswith("_sysconfigdata")]  # written by the build
    # A few sources name people or draw frames; without them the alphabet is the one that programs use.
    sources = tuple(_source(path) for path in paths if path.read_bytes().isascii())
    if not sources:
        raise UsageError(f"{root} lacks the standard library's sources; give CORPUS, a text file or a folder")
    return Corpus("the Python standard library's sources", sources)


def _walk(folder: Path, own: Path | None = None, skip: Set[str] = frozenset()) -> list[Path]:
    """The regular files under ``folder``, sorted by path, without hidden ones and without run folders."""
    files: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=_unreadable):
        if any(marks <= set(names) for marks in RUN_MARKS) or Path(root).resolve() == own:
            folders.clear()
            continue
        folders[:] = [name for name in folders if name[0] != "." and name not in skip]
        paths = (Path(root, name) for name in names if name[0] != ".")
        files.extend(path for path in paths if path.is_file())
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def _starts_as_text(path: Path, level: str) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        _unreadable(error)
    if level == "byte" or b"\0" in head:
        return b"\0" not in head
    try:
        # A character may be cut by the end of the head, but not by the end of the file.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD)
    except UnicodeDecodeError:
        return False
    return True


def _source(path: Path) -> Source:
    try:
        status = path.stat()
    except OSError as error:
        _unreadable(error)
    return Source(path, status.st_size, status.st_mtime_ns)


def _unreadable(error: OSError) -> NoReturn:
    raise UsageError(f"cannot read {error.filename}: {error.strerror}") from error
