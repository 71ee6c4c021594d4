"""Where each of several processes writes: the first into the run folder, the others aside."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import torch.distributed as dist

from backtime.errors import UsageError
from backtime.tasks.running.same_data import STDIN
from backtime.training import distributed

LINKED = {".bin"}  # large, and never changed in place: a copy costs nothing where links are


class Request(Protocol):
    """What ``running.request.Request`` is, here."""

    @property
    def data(self) -> Path | None:
        """What is read."""

    @property
    def out(self) -> Path | None:
        """Where the run goes."""


Asked = TypeVar("Asked", bound=Request)


@contextlib.contextmanager
def placed(request: Asked) -> Iterator[Asked]:
    """The request with a folder for this process; those of all but the first are gone afterwards."""
    number, of = distributed.processes()
    if of == 1:
        yield request
        return
    if request.out is None:
        raise UsageError("torchrun needs --out FOLDER: started again, all processes go on with the run there")
    if request.data == STDIN:
        raise UsageError("standard input cannot be read by several processes; expected DATA in a file")
    with _met(), tempfile.TemporaryDirectory(prefix="backtime-") as place:
        yield request if number == 0 else _silent(request, out=Path(place) / "run")


@contextlib.contextmanager
def placed_again(path: Path, request: Asked) -> Iterator[tuple[Path, Asked]]:
    """The same for a run that goes on: the others work on copies of its folder."""
    number, of = distributed.processes()
    if of == 1:
        yield path, request
        return
    with _met(), tempfile.TemporaryDirectory(prefix="backtime-") as place:
        copy = Path(place) / "run"
        if number:
            shutil.copytree(path, copy, copy_function=_copy, ignore=shutil.ignore_patterns(".*"))
        distributed.wait_for_all()  # before process 0 changes anything
        yield (path, request) if number == 0 else (copy, _silent(request))


@contextlib.contextmanager
def _met() -> Iterator[None]:
    distributed.start()
    try:
        yield
    finally:
        dist.destroy_process_group()


def _silent(request: Asked, **changes: Path) -> Asked:
    return dataclasses.replace(request, quiet=True, as_json=False, **changes)  # type: ignore[type-var]


def _copy(source: str, target: str) -> None:
    if Path(source).suffix in LINKED:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)
