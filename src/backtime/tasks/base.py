"""What a task is to the rest of the house. docs/adding-a-task.md has an example from start to end.

A task's package is read for its options and for prediction without PyTorch: what needs PyTorch is imported in
the functions that do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from backtime.errors import UsageError
from backtime.fields import check
from backtime.models.file import ModelFile
from backtime.runtime.predictor import Predictor
from backtime.training.metrics import Metric
from backtime.training.settings import Settings

if TYPE_CHECKING:
    from backtime.insight.decisions import Question
    from backtime.training.task import Task

Tell = Callable[[str], None]  # shows the user a line
Scores = dict[str, float | int]


@dataclass(frozen=True)
class Options:
    """The options that a task adds to a verb: ``described`` fields, checked when they are made."""

    def __post_init__(self) -> None:
        """Check every value."""
        check(self)


class Data(Protocol):
    """What ``prepare`` made of the user's files."""

    @property
    def fingerprint(self) -> str:
        """A hash of what is trained on: a resume needs the same."""

    @property
    def encoding(self) -> dict[str, Any]:
        """How records become numbers and back: for each part, by its name, a JSON object."""

    def describe(self) -> str:
        """The sizes of the data, for people: ``"1,000 tokens of 65 symbols"``."""


class TaskKind(Protocol):
    """A task: its options, its data, its model, and what people are told. A class that names it as its base
    inherits the defaults; the task's package has an instance of it, ``KIND``.
    """

    name: ClassVar[str]
    settings: ClassVar[type[Settings]]  # a subclass: what every run has, and what the task adds
    evaluation: ClassVar[type]  # dataclass of ``described`` fields: the options of ``backtime evaluate``
    sampling: ClassVar[type | None] = None  # those of ``backtime sample``; None: there is nothing to sample
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    data: ClassVar[str]  # what DATA is, for the help
    default_data: ClassVar[str] = ""  # the name of what is read where no DATA is named; empty: it must be
    examples: ClassVar[str] = ""  # command lines, for the help

    def metrics(self, settings: Any) -> tuple[Metric, ...]:
        """What a validation measures; the first decides which model is best. One is named ``loss``."""

    def prepare(
        self, source: Path | None, settings: Any, folder: Path, encoding: dict[str, Any] | None, tell: Tell
    ) -> Data:
        """Read and check the data; what is too large for memory goes into ``folder``, and is opened once.

        A resume calls it in another place, with the files that it has left in the run folder: they take
        their place when the data have turned out to be the same.

        ``encoding`` is that of a model to begin with or of a run that is resumed, and is then used as it is;
        with None it is made from the data. Raises ``UsageError`` naming file and line, and
        ``UnknownValueError`` where the data have a value that ``encoding`` lacks.
        """

    def required(self, source: Path | None) -> Path:
        """``source``, for a task that reads nothing where no DATA is named."""
        if source is None:
            raise UsageError(f"--task {self.name} needs DATA: {self.data}")
        return source

    def build(self, data: Any, settings: Any, start: ModelFile | None) -> Task:
        """The task for the trainer: a new model on ``settings.device``, with ``start``'s weights if given.

        All random numbers come from the global generators, which were seeded just before.
        """

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """The settings that ``--init-from`` leaves no choice about."""

    def evaluate(self, model: ModelFile, source: Path, options: Any, folder: Path) -> Scores:
        """The scores of a model on data; ``folder`` is empty and temporary."""

    def predictor(self, model: ModelFile) -> Predictor:
        """The model in use. With ``sampling`` it is a ``Writer``."""

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """What is asked about ``count`` sequences of data: ``backtime flow --units``.

        Raises ``UsageError`` where a task has nothing to ask.
        """
        raise UsageError(f"--units is given; the task {self.name} does not say what its answers are")
