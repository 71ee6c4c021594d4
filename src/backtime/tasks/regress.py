"""Regression: a number for a whole text, series, image or clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtime.data.batching.steps import Encoder, Scale
from backtime.data.classes import Examples, input_encoding, read_all
from backtime.data.labelled import Reading
from backtime.data.numbered import Numbered, check_targets, read_parts, scaled, target_scale
from backtime.fields import check, described
from backtime.models.file import ModelFile
from backtime.models.regressor_config import RegressorConfig
from backtime.runtime.regressor import Regressor
from backtime.tasks import scores
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.examples import MEASURED_AT_ONCE, ExampleSettings, ExampleTask, answers, fixed_reading
from backtime.training.metrics import Metric
from backtime.training.settings import DATA

if TYPE_CHECKING:
    from backtime.insight.decisions import Question
    from backtime.models.regressor import Regressor as Network

EXAMPLES = """\
examples:
  backtime train FloodModeling1_TRAIN.ts --task regress --bidirectional
  backtime train reviews.csv --task regress --target-column stars
  backtime evaluate runs/reviews-lstm-1 test.csv
  backtime predict runs/reviews-lstm-1 new.csv"""


@dataclass(frozen=True)
class RegressSettings(ExampleSettings):
    """A run that learns a number."""

    validation_fraction: float = described(
        0.1, "share of the examples, drawn at random, to validate on", group=DATA, least=0, below=1
    )
    target_column: str = described("target", "name of the column of numbers to learn", group=DATA)

    @property
    def answers(self) -> str:
        """The name of the column of targets."""
        return self.target_column


@dataclass(frozen=True)
class Evaluation:
    """What to measure with."""

    batch_size: int = described(MEASURED_AT_ONCE, "examples at once", least=1)

    def __post_init__(self) -> None:
        """Check every value."""
        check(self)


class RegressTask(ExampleTask):
    """A regressor and its examples; the loss is the mean squared error of scaled numbers."""

    data: Numbered

    def measure(self, examples: Examples) -> dict[str, float]:
        """Loss, and the errors in the numbers' own unit."""
        return measured(self.network, examples, self.data.encoder, self.data.scale, MEASURED_AT_ONCE)

    def loss_limit(self, start: float) -> float:
        """Of the batch that costs the untrained model the most, which gives numbers near the mean.

        ``start`` is that of one batch, in which a rare number far from all others need not be.
        """
        squares = np.sort(self.data.training.labels**2)[-self.settings.batch_size :]
        return super().loss_limit(max(start, float(squares.mean())))


class RegressKind(TaskKind):
    """Regression."""

    name, settings, evaluation = "regress", RegressSettings, Evaluation
    data = "texts (CSV, TSV, JSON lines), series (.ts, CSV, NPZ) or images, with a number each"
    examples = EXAMPLES

    def metrics(self, settings: RegressSettings) -> tuple[Metric, ...]:
        """The loss, and the mean absolute error."""
        return (Metric("loss", "in scaled units"), Metric("mae"))

    def prepare(
        self,
        source: Path | None,
        settings: RegressSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Numbered:
        """All examples, in memory."""
        scores.check_installed("sklearn.metrics")
        source, reading = self.required(source), settings.reading()
        valid = Path(settings.valid_file) if settings.valid_file else None
        training, held_out = read_parts(source, valid, settings.validation_fraction, settings.seed, reading)
        if encoding is None:
            encoding = input_encoding(training, reading, settings.min_count, settings.scale == "standard")
            check_targets(training, source)
            encoding |= {"target": target_scale(training)}
        encoder, scale = Encoder.from_json(encoding), Scale.from_json(encoding["target"])
        own, others = (scaled(part, encoder, scale) for part in (training, held_out))
        return Numbered(own, others, encoder, encoding)

    def build(self, data: Numbered, settings: RegressSettings, start: ModelFile | None) -> RegressTask:
        """The regressor that the settings ask for."""
        from backtime.models.regressor import Regressor as Network
        from backtime.models.saving import begun_from
        from backtime.training.devices import on_device

        network = begun_from(start, Network(RegressorConfig(**settings.sizes(data))))
        network = on_device(network, settings.device)
        return RegressTask(network, data, settings, self.name, self.metrics(settings))

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and reading."""
        return fixed_reading(start) | {"target_column": Reading.from_json(start.encoding["reading"]).label}

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """MSE, MAE and R^2 in the numbers' own unit, the loss, and how many examples there were."""
        from backtime.models.saving import build_model

        encoder, scale = Encoder.from_json(model.encoding), Scale.from_json(model.encoding["target"])
        examples = scaled(read_all(source, Reading.from_json(model.encoding["reading"])), encoder, scale)
        found = measured(build_model(model), examples, encoder, scale, options.batch_size)
        return {**found, "examples": len(examples.records)}

    def predictor(self, model: ModelFile) -> Regressor:
        """The runtime's regressor, without PyTorch."""
        return Regressor(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """The number of each example."""
        from backtime.tasks.questions.examples import numbers

        return numbers(model, source, count)


KIND = RegressKind()


def measured(
    network: Network, examples: Examples, encoder: Encoder, scale: Scale, batch_size: int
) -> dict[str, float]:
    """The errors of a network on examples, and its loss."""
    found = np.empty(len(examples.labels), np.float64)
    for chosen, z, _ in answers(network, examples, encoder, batch_size):
        found[chosen] = z[:, 0].numpy(force=True)
    loss = float(((found - examples.labels) ** 2).mean())
    own, right = (part * scale.deviation + scale.mean for part in (found, examples.labels.astype(np.float64)))
    return {**scores.number_scores(right, own), "loss": loss}
