"""The options of ``--task classify`` and of ``evaluate``."""

from dataclasses import dataclass

from backtime.fields import described
from backtime.tasks.base import Options
from backtime.tasks.shared.examples import MEASURED_AT_ONCE, ExampleSettings
from backtime.tasks.shared.settings import share
from backtime.training.settings import DATA


@dataclass(frozen=True)
class ClassifySettings(ExampleSettings):
    """A run that learns to classify."""

    validation_fraction: float = share(0.1, "share of each label's examples, drawn at random, to validate on")
    label_column: str = described("label", "name of the column of labels", group=DATA)
    metric: str = described(
        "accuracy", "what makes a model the best; f1 is the mean of the labels' F1",
        group=DATA, choices=("accuracy", "f1"),
    )  # fmt: skip

    @property
    def answers(self) -> str:
        """The name of the column of labels."""
        return self.label_column


@dataclass(frozen=True)
class Evaluation(Options):
    """What to measure with."""

    batch_size: int = described(MEASURED_AT_ONCE, "examples at once", least=1)
    picture: str | None = described(None, "file for the confusion matrix: .svg, .png or .pdf")
