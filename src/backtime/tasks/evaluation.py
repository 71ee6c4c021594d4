"""How well a model does on data: ``backtime evaluate``, for every task."""

import math
import tempfile
from pathlib import Path
from typing import Any

import torch

from backtime.errors import UsageError
from backtime.models.file import read_model
from backtime.tasks import find
from backtime.tasks.base import Scores
from backtime.tasks.running.same_data import spooled


def evaluate(model: Path, data: Path, threads: int | None = None, **options: Any) -> Scores:
    """The scores of a model, which a file or a run folder holds, on data that it has not seen.

    ``options`` are those of the model's task (``TaskKind.evaluation``). Raises ``UsageError``.
    """
    if threads is not None:
        torch.set_num_threads(threads)  # the engine takes as many
    file = read_model(model)
    kind = find(file.task)
    chosen = kind.evaluation(**options)
    with tempfile.TemporaryDirectory(prefix="backtime-") as folder, spooled(data, Path(folder)) as source:
        scores = kind.evaluate(file, source or data, chosen, Path(folder))
    if not math.isfinite(scores.get("loss", 0.0)):
        raise UsageError(f"{model}: its loss on {data} is {scores['loss']}; its training has diverged")
    return scores
