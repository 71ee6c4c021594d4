"""The data of a run that goes on: found to be the same before anything in its folder is changed."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backtime.errors import UnknownValueError, UsageError
from backtime.files import atomic_write
from backtime.tasks.base import Data, TaskKind, Tell
from backtime.training.run_folder import RunFolder
from backtime.training.settings import Settings

STDIN = Path("-")  # what the command line calls standard input
COPY = "stdin.txt"  # of what came from there, in the run folder: a resume has nothing else


class Changed(Exception):  # noqa: N818 (a message inside this file)
    """The data are not those that the run began with."""


def same_data(
    kind: TaskKind,
    source: Path | None,
    settings: Settings,
    folder: RunFolder,
    config: dict[str, Any],
    tell: Tell,
) -> Data:
    """The data of ``source`` (None: of the run), if they are those that the run began with."""
    known = folder.encoding(config["encoding"])
    named = source or _named(folder, config)
    try:
        with _aside(folder.path) as place, spooled(named, place) as data_file:
            data = kind.prepare(data_file, settings, place, known, tell)
            if data.fingerprint != config["fingerprint"]:
                raise Changed
    except (Changed, UnknownValueError):
        name = named or "the default data"
        raise UsageError(
            f"{name} has changed since {folder.path} began; a resume needs the same data"
        ) from None
    return data


def _named(folder: RunFolder, config: dict[str, Any]) -> Path | None:
    if config["data"] == str(STDIN):
        return folder.path / COPY
    return Path(config["data"]) if config["data"] else None


@contextlib.contextmanager
def spooled(source: Path | None, folder: Path) -> Iterator[Path | None]:
    """``source``; for standard input a copy of it in ``folder``, for data are read more than once.

    What is wrong with the copy is told of standard input.
    """
    if source != STDIN:
        yield source
        return
    if sys.stdin is None or sys.stdin.closed:
        raise UsageError("standard input is closed; expected data there")
    copy = folder / COPY
    with atomic_write(copy) as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        if not file.tell():
            raise UsageError("standard input is empty; expected data there")
    try:
        yield copy
    except UsageError as error:
        kind = UnknownValueError if isinstance(error, UnknownValueError) else UsageError
        raise kind(str(error).replace(str(copy), "standard input")) from error


@contextlib.contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A place with the files that the task keeps in ``folder``.

    What the block makes of them there goes into ``folder`` when it ends, and not when it raises.
    """
    place = folder / ".check"
    shutil.rmtree(place, ignore_errors=True)  # left by a process that was killed
    own = shutil.ignore_patterns(".*", "config.json", "metrics.jsonl", "curves.*", "last", "best")
    shutil.copytree(folder, place, ignore=own, copy_function=_link)
    try:
        yield place
        for path in [path for path in place.rglob("*") if path.is_file()]:
            target = folder / path.relative_to(place)
            if not (target.exists() and target.samefile(path)):
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _link(source: str, target: str) -> None:
    """The same file under another name, or a copy where the file system has no such names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
