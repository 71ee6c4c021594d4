"""A trained model and a batch of data, as training has them: what is looked at while nothing is learned."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from backtime.errors import UsageError
from backtime.fields import flag
from backtime.models.file import ModelFile, read_model
from backtime.tasks import find
from backtime.tasks.base import TaskKind
from backtime.training.run_folder import config_of_run
from backtime.training.settings import Settings

if TYPE_CHECKING:
    import torch

    from backtime.training.task import Task

WITHOUT: dict[str, Any] = {
    "valid_file": None,
    "device": "cpu",
}  # of a run's settings: all data are looked at, here


class Subject(NamedTuple):
    """A model file, what its task is, and the settings and data that it was trained with, as far as known."""

    file: ModelFile
    kind: TaskKind
    settings: Settings
    data: Path


def subject(path: Path, data: Path | None, batch_size: int) -> Subject:
    """The model in a file or a run folder, with ``data`` or what its run was trained on.

    Raises ``UsageError`` where neither is there.
    """
    file, run = read_model(path), config_of_run(path)
    kind = find(file.task)
    source = data or (Path(run["data"]) if run.get("data") else None)
    if source is None:
        raise UsageError(f"DATA is missing: {path} does not say what it was trained on; expected {kind.data}")
    chosen = {**run["settings"], **kind.fixed_by(file)} if run else kind.fixed_by(file)
    settings = kind.settings.from_json({**kind.settings().to_json(), **chosen})
    known = {field.name for field in dataclasses.fields(settings)}
    others: dict[str, Any] = {name: value for name, value in WITHOUT.items() if name in known}
    return Subject(file, kind, dataclasses.replace(settings, batch_size=batch_size, **others), source)


def task_of(own: Subject, folder: Path) -> Task:
    """The task with the model's own weights; ``folder`` is for what is large."""
    data = own.kind.prepare(own.data, own.settings, folder, own.file.encoding, lambda line: None)
    return own.kind.build(data, own.settings, own.file)


def batch_loss(task: Task) -> torch.Tensor:
    """The mean loss of the first batch, with its graph."""
    loss, _, _ = task.loss(0, 0, task.initial_state())
    return loss


def length(settings: Settings) -> tuple[int | None, str]:
    """How far back the task learns, in steps, and the option that says so; None where sequences are whole."""
    for name in ("seq_length", "lookback"):
        if hasattr(settings, name):
            value: int = getattr(settings, name)
            return value, flag(name)
    return None, ""
