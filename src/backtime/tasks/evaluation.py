"""How well a model does on data: ``backtime evaluate``, for every task."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from backtime.errors import UsageError
from backtime.models.file import read_model
from backtime.tasks import find
from backtime.tasks.base import Scores


def evaluate(model: Path, data: Path, threads: int | None = None, **options: Any) -> Scores:
    """The scores of a model, which a file or a run folder holds, on data that it has not seen.

    ``options`` are those of the model's task (``TaskKind.evaluation``). Raises ``UsageError``.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"--threads is {threads}; expected 1 or more")
    if threads is not None:
        torch.set_num_threads(threads)  # the engine takes as many
    file = read_model(model)
    kind = find(file.task)
    chosen = kind.evaluation(**options)
    with tempfile.TemporaryDirectory(prefix="backtime-") as folder:
        return kind.evaluate(file, data, chosen, Path(folder))
