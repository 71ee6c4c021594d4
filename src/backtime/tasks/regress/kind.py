"""Regression to the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtime.data.batching.steps import Encoder, Scale
from backtime.data.classes import Examples, input_encoding
from backtime.data.examples import Example
from backtime.data.numbered import Numbered, check_targets, scaled, target_scale
from backtime.models.file import ModelFile
from backtime.models.regressor_config import RegressorConfig
from backtime.runtime.regressor import Regressor
from backtime.tasks.base import Scores
from backtime.tasks.regress.measuring import measure
from backtime.tasks.regress.settings import Evaluation, RegressSettings
from backtime.tasks.regress.task import RegressTask
from backtime.tasks.shared.example_kind import ExampleKind
from backtime.training.metrics import Metric

if TYPE_CHECKING:
    from backtime.insight.decisions import Question
    from backtime.models.regressor import Regressor as Network

EXAMPLES = """\
examples:
  backtime train FloodModeling1_TRAIN.ts --task regress --bidirectional
  backtime train reviews.csv --task regress --target-column stars
  backtime evaluate runs/reviews-lstm-1 test.csv
  backtime predict runs/reviews-lstm-1 new.csv"""


class RegressKind(ExampleKind):
    """Regression."""

    name, settings, evaluation = "regress", RegressSettings, Evaluation
    task, answered, column = RegressTask, Numbered, "target_column"
    by_label = False
    data = "texts (CSV, TSV, JSON lines), series (.ts, CSV, NPZ) or images, with a number each"
    examples = EXAMPLES

    def metrics(self, settings: RegressSettings) -> tuple[Metric, ...]:
        """The loss, and the mean absolute error."""
        return (Metric("loss", "in scaled units", counted="examples"), Metric("mae"))

    def check_trainable(self, training: list[Example], source: Path) -> None:
        """Numbers that are all the same teach nothing."""
        check_targets(training, source)

    def encoding(self, training: list[Example], settings: RegressSettings) -> dict[str, Any]:
        """The scale of the numbers beside symbols or scale."""
        standard = settings.scale == "standard"
        found = input_encoding(training, settings.reading(), settings.min_count, standard)
        return found | {"target": target_scale(training)}

    def encoded(self, part: list[Example], encoder: Encoder, encoding: dict[str, Any]) -> Examples:
        """Examples and their scaled numbers."""
        return scaled(part, encoder, Scale.from_json(encoding["target"]))

    def network(self, settings: RegressSettings, data: Numbered) -> Network:
        """A regressor."""
        from backtime.models.regressor import Regressor as Network

        return Network(RegressorConfig(**settings.sizes(data)))

    def measured(
        self, network: Network, examples: Examples, encoding: dict[str, Any], options: Evaluation
    ) -> Scores:
        """MSE, MAE and R^2 in the numbers' own unit, and the loss."""
        scale = Scale.from_json(encoding["target"])
        return {**measure(network, examples, Encoder.from_json(encoding), scale, options.batch_size)}

    def predictor(self, model: ModelFile) -> Regressor:
        """The runtime's regressor, without PyTorch."""
        return Regressor(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """The number of each example."""
        from backtime.tasks.questions.examples import numbers

        return numbers(model, source, count)


KIND = RegressKind()
