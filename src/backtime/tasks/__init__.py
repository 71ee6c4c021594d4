"""The tasks: what a model is trained for. A package each, and one line in ``TASKS``.

- ``base``      what a task is to the rest of the house
- ``language tag classify ...``  the tasks. In each: ``settings`` (its options), ``data`` (its files as
  numbers, where that is not in ``backtime.data``), ``task`` (what the trainer asks for), ``measuring`` (how
  good a model is), ``kind`` (what the command line asks for)
- ``shared``    what several tasks have alike
- ``questions`` what each task asks its model about a sequence, for ``backtime flow --units``
- ``runs``, ``evaluation``, ``looking``  ``backtime train``, ``evaluate`` and ``flow``, for every task;
  ``running`` has the parts of ``runs``

Nothing here needs PyTorch before a model is trained or evaluated.

>>> from backtime import tasks
>>> model = tasks.load("runs/book-lstm-1")
>>> for row in model.predict(["to be or not to be"]):
...     print(row["loss"])
"""

import importlib
from typing import NamedTuple

from backtime.errors import UsageError, shown
from backtime.models.file import PathLike, read_model
from backtime.runtime.predictor import Predictor
from backtime.tasks.base import TaskKind

__all__ = ["DEFAULT", "TASKS", "Entry", "TaskKind", "find", "load"]


class Entry(NamedTuple):
    """A line of the table: what the task does, and the module or package that has its ``KIND``."""

    help: str
    module: str


TASKS: dict[str, Entry] = {
    "language": Entry("predict a text, symbol by symbol", "backtime.tasks.language"),
    "tag": Entry("tag every word of a sentence", "backtime.tasks.tag"),
    "classify": Entry("label whole texts, series, images or clips", "backtime.tasks.classify"),
    "regress": Entry("give whole texts, series, images or clips a number", "backtime.tasks.regress"),
    "forecast": Entry("forecast series of numbers", "backtime.tasks.forecast"),
    "recommend": Entry("recommend the next item of a session", "backtime.tasks.recommend"),
    "translate": Entry("translate texts", "backtime.tasks.translate"),
    "caption": Entry("say in words what an image shows", "backtime.tasks.caption"),
    "transcribe": Entry("write down what is said", "backtime.tasks.transcribe"),
    "music": Entry("write music", "backtime.tasks.music"),
    "similar": Entry("tell how alike two texts are", "backtime.tasks.similar"),
}
DEFAULT = next(iter(TASKS))  # where nothing names one: also in runs of version 0.1.0, which had no other


def find(name: str) -> TaskKind:
    """The task of that name; raises ``UsageError`` when there is none."""
    if name not in TASKS:
        raise UsageError(f"the task is {shown(name)}; expected one of {', '.join(TASKS)}")
    kind: TaskKind = importlib.import_module(TASKS[name].module).KIND
    return kind


def load(path: PathLike) -> Predictor:
    """The model in a file, or the best one of a run folder, ready to predict, whatever its task.

    Raises ``UsageError``, in one line, when there is none or it is damaged.
    """
    file = read_model(path)
    try:
        return find(file.task).predictor(file)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
