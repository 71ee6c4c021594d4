"""The folder of a run: who may write into it, where each file is, and the log.

config.json          task, settings, data and their fingerprint; written last when a run is begun: a folder
                     that has it can be resumed
NAME.json            each part of the task's encoding: vocabulary.json holds the symbols of a text
metrics.jsonl        one object a log line
last/state.safetensors   everything a resume needs; last/model.safetensors is the model of that moment
best/model.safetensors   the best model by the task's main metric
curves.svg, curves.png   the losses, drawn when the run ends
.lock                held by the process that trains; the kernel lets go of it when that process dies
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from backtime.errors import UsageError, shown
from backtime.fields import Encoding, read
from backtime.files import atomic_write, read_json_object, to_json, write_json_atomic


@dataclass(frozen=True)
class ConfigFile:
    """What a resume reads of config.json."""

    settings: dict[str, Any]
    data: str | None
    fingerprint: str
    encoding: list[str]
    task: str = ""


class RunFolder:
    """One run's folder, locked until ``close``. Made by ``create``, ``create_next`` or ``open``."""

    def __init__(self, path: Path, lock: IO[str], created: list[Path]) -> None:
        """``created`` are the folders that were made for it, the innermost first."""
        self.path, self._lock, self._created = path, lock, created
        self.config_file = path / "config.json"
        self.metrics_file = path / "metrics.jsonl"
        self.state_file = path / "last" / "state.safetensors"
        self.last_model = path / "last" / "model.safetensors"
        self.best_model = path / "best" / "model.safetensors"
        self.set_aside = path / "best" / "before-stop.safetensors"

    @classmethod
    def create(cls, path: Path) -> "RunFolder":
        """A new run in ``path``, which must be absent, empty, or what a run killed while starting left.

        Raises ``UsageError`` when a run is there or another process is starting one.
        """
        created = _make(path)
        if not (path / ".lock").exists() and any(path.iterdir()):
            raise UsageError(f"--out {path} is not empty; {_why_not(path)}")
        lock = _locked(path)
        if (path / "config.json").exists():
            lock.close()
            raise UsageError(f"--out {path} {_why_not(path)}")
        folder = cls(path, lock, created)
        folder._empty()
        return folder

    @classmethod
    def create_next(cls, root: Path, stem: str) -> "RunFolder":
        """A new run in ``root/stem-N`` with the first N that is free, safe against others doing the same."""
        created = _make(root)
        number = 1
        while True:
            path = root / f"{stem}-{number}"
            with contextlib.suppress(FileExistsError):
                path.mkdir()  # only one process can succeed
                return cls(path, _locked(path), [path, *created])
            number += 1

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """The folder of a run to be resumed; raises ``UsageError`` when there is none or it is in use."""
        if not (path / "config.json").is_file():
            raise UsageError(f"--resume {path}: no run is there (no config.json)")
        return cls(path, _locked(path), [])

    def close(self) -> None:
        """Let go of the lock."""
        self._lock.close()

    def discard(self) -> None:
        """Remove what a run that could not begin has made, folders included."""
        if self.config_file.exists():
            return
        self._empty()
        (self.path / ".lock").unlink(missing_ok=True)
        for path in self._created:
            with contextlib.suppress(OSError):  # someone else has put something into it
                path.rmdir()

    def _empty(self) -> None:
        for path in self.path.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != ".lock":
                path.unlink()

    def make_places(self) -> None:
        """The folders ``last`` and ``best``."""
        for file in (self.state_file, self.best_model):
            file.parent.mkdir(exist_ok=True)

    def config(self) -> dict[str, Any]:
        """The content of config.json; raises ``UsageError`` when it is damaged."""
        value = read_json_object(self.config_file)
        if "corpus" in value:  # version 0.1.0, which had one task
            value = {"data": value["corpus"], "encoding": ["vocabulary"], **value}
        config = read(ConfigFile, value, f"{self.config_file} is damaged", others=True)
        for name in config.encoding:
            if not name.isidentifier():  # it is the name of a file of this folder
                raise UsageError(f"{self.config_file} is damaged: encoding names {shown(name)}")
        return value

    def encoding(self, names: list[str]) -> dict[str, Any]:
        """The parts of the encoding, each from its file; raises ``UsageError`` when one is damaged."""
        return Encoding({name: read_json_object(self.path / f"{name}.json") for name in names})

    def write_encoding(self, encoding: dict[str, Any]) -> None:
        """Write each part of the encoding, a JSON object, into its file."""
        for name, part in encoding.items():
            write_json_atomic(self.path / f"{name}.json", part)

    def write_config(self, config: dict[str, Any]) -> None:
        """Write config.json: from now on the folder holds a run."""
        write_json_atomic(self.config_file, config)

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with self._metrics_to_append() as file:
            file.write(to_json(record) + "\n")

    def sync_metrics(self) -> None:
        """Bring the log to the disk, so that it is never behind a save."""
        with self._metrics_to_append() as file:
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def _metrics_to_append(self) -> Iterator[IO[str]]:
        try:
            with self.metrics_file.open("a") as file:
                yield file
        except OSError as error:  # a full disk, above all; raised by the writing or by the closing
            reason = error.strerror or str(error)
            raise UsageError(
                f"cannot write {self.metrics_file}: {reason}; the last save is intact"
            ) from error

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; one that a kill left incomplete, or that is damaged, is left out."""
        try:
            lines = self.metrics_file.read_bytes().split(b"\n")[:-1]  # a complete line ends with a newline
        except OSError:  # none yet, or none any more: the log is not the run
            return []
        return [record for line in lines if (record := _record(line)) is not None]

    def count_metrics(self) -> int:
        """How many lines metrics.jsonl has, whatever is in them."""
        return self.metrics_file.read_bytes().count(b"\n") if self.metrics_file.exists() else 0

    def keep_metrics(self, lines: int) -> None:
        """Cut metrics.jsonl to its first ``lines`` lines: what came after a save did not happen."""
        with self.metrics_file.open("a+b") as file:
            file.seek(0)
            kept = file.readlines()[:lines]
        with atomic_write(self.metrics_file) as file:
            file.writelines(kept)


def task_of_run(path: Path) -> str | None:
    """The task of the run in a folder; None where there is no run, a damaged one, or one of version 0.1.0."""
    try:
        name = read_json_object(path / "config.json").get("task")
    except UsageError:
        return None
    return name if isinstance(name, str) else None


def config_of_run(path: Path) -> dict[str, Any]:
    """The config.json of a run folder, empty where there is none."""
    try:
        found = read_json_object(path / "config.json")
    except UsageError:
        return {}
    return {"data": found.get("corpus"), **found} if "corpus" in found else found


def _make(path: Path) -> list[Path]:
    """Make the folder ``path``; returns the folders that this made, the innermost first."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {path}: {error.strerror}") from error
    return missing


def _record(line: bytes) -> dict[str, Any] | None:
    """A line of metrics.jsonl, when it is one: an object of numbers and nulls, and the words of a look."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or "step" not in value:
        return None
    numbers = (n for name, n in value.items() if name != "flow_verdict")  # of --flow-every
    return value if all(isinstance(n, int | float | None) for n in numbers) else None


def _locked(path: Path) -> IO[str]:
    try:
        lock = (path / ".lock").open("a")
    except OSError as error:
        raise UsageError(f"cannot write into {path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise UsageError(f"{path} is in use: another process is training there") from error
    return lock


def _why_not(path: Path) -> str:
    if (path / "config.json").exists():
        return f"holds a run already; go on with it (--resume {path}) or choose another --out"
    return "choose another --out"
