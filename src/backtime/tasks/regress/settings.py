"""The options of ``--task regress`` and of ``evaluate``."""

from dataclasses import dataclass

from backtime.fields import described
from backtime.tasks.base import Options
from backtime.tasks.shared.examples import MEASURED_AT_ONCE, ExampleSettings
from backtime.tasks.shared.settings import share
from backtime.training.settings import DATA


@dataclass(frozen=True)
class RegressSettings(ExampleSettings):
    """A run that learns a number."""

    validation_fraction: float = share(0.1, "share of the examples, drawn at random, to validate on")
    target_column: str = described("target", "name of the column of numbers to learn", group=DATA)

    @property
    def answers(self) -> str:
        """The name of the column of targets."""
        return self.target_column


@dataclass(frozen=True)
class Evaluation(Options):
    """What to measure with."""

    batch_size: int = described(MEASURED_AT_ONCE, "examples at once", least=1)
