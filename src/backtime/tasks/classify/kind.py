"""Classification to the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtime.data.batching.steps import Encoder
from backtime.data.classes import Examples, Labelled, encoding_of
from backtime.data.examples import Example
from backtime.data.lexicon import Lexicon
from backtime.models.file import ModelFile
from backtime.models.reader_config import ReaderConfig
from backtime.runtime.reader import Reader
from backtime.tasks.base import Scores
from backtime.tasks.classify.measuring import predicted, scores_of
from backtime.tasks.classify.settings import ClassifySettings, Evaluation
from backtime.tasks.classify.task import ClassifyTask
from backtime.tasks.shared import scores
from backtime.tasks.shared.example_kind import ExampleKind
from backtime.training.metrics import Metric

if TYPE_CHECKING:
    from backtime.insight.decisions import Question
    from backtime.models.reader import Reader as Network

EXAMPLES = """\
examples:
  backtime train reviews.csv --task classify
  backtime train names --task classify --level char
  backtime train JapaneseVowels_TRAIN.ts --task classify --epochs 60 --bidirectional
  backtime evaluate runs/reviews-lstm-1 test.csv --picture confusion.svg
  backtime predict runs/reviews-lstm-1 new.csv"""


class ClassifyKind(ExampleKind):
    """Classification."""

    name, settings, evaluation = "classify", ClassifySettings, Evaluation
    task, answered, column = ClassifyTask, Labelled, "label_column"
    by_label = True
    data = "texts (CSV, TSV, JSON lines, folder), series (.ts, CSV, NPZ) or images, with labels"
    examples = EXAMPLES

    def metrics(self, settings: ClassifySettings) -> tuple[Metric, ...]:
        """Share of right labels, macro F1, loss; ``settings.metric`` comes first."""
        both = [Metric("accuracy", better="max"), Metric("f1", better="max")]
        if settings.metric == "f1":
            both.reverse()
        return (*both, Metric("loss", "nats an example", counted="examples"))

    def encoding(self, training: list[Example], settings: ClassifySettings) -> dict[str, Any]:
        """The labels beside symbols or scale."""
        return encoding_of(training, settings.reading(), settings.min_count, settings.scale == "standard")

    def encoded(self, part: list[Example], encoder: Encoder, encoding: dict[str, Any]) -> Examples:
        """Examples and the numbers of their labels."""
        return Examples.of(part, encoder, Lexicon.from_json(encoding["labels"]))

    def network(self, settings: ClassifySettings, data: Labelled) -> Network:
        """A reader."""
        from backtime.models.reader import Reader as Network

        classes = len(data.encoding["labels"]["symbols"])
        return Network(ReaderConfig(classes=classes, **settings.sizes(data)))

    def measured(
        self, network: Network, examples: Examples, encoding: dict[str, Any], options: Evaluation
    ) -> Scores:
        """Accuracy, macro F1, loss in nats an example."""
        found, loss = predicted(network, examples, Encoder.from_json(encoding), options.batch_size)
        if options.picture:
            names = Lexicon.from_json(encoding["labels"]).symbols
            scores.draw_confusion(examples.labels, found, names, Path(options.picture))
        return scores_of(examples.labels, found, loss)

    def predictor(self, model: ModelFile) -> Reader:
        """The runtime's classifier, without PyTorch."""
        return Reader(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """The label of each example."""
        from backtime.tasks.questions.examples import labels

        return labels(model, source, count)


KIND = ClassifyKind()
