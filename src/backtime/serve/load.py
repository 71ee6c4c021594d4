"""The models that are served, by their names."""

import re
from collections.abc import Sequence
from pathlib import Path

import backtime.tasks as tasks
from backtime.models.file import task_of
from backtime.runtime.model import Model
from backtime.serve.metrics import Metrics
from backtime.serve.served import Served
from backtime.serve.served_text import ServedText
from backtime.serve.settings import ServeSettings
from backtime.serve.worker import Worker


def load_all(
    paths: Sequence[Path], worker: Worker, settings: ServeSettings, metrics: Metrics
) -> dict[str, Served]:
    """The models by name: that of the file or run folder, with a number where it comes twice."""
    found: dict[str, Served] = {}
    for path in paths:
        name = _name(path, found)
        predictor = tasks.load(path)
        if isinstance(predictor, Model):
            found[name] = ServedText(name, predictor, worker, settings, metrics)
        else:
            found[name] = Served(name, task_of(path), predictor, worker, metrics)
    return found


def _name(path: Path, taken: dict[str, Served]) -> str:
    own = path.resolve()
    stem = own.name if own.is_dir() else own.stem
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", stem) or "model"
    return next(n for n in [base, *(f"{base}-{k}" for k in range(2, len(taken) + 3))] if n not in taken)
