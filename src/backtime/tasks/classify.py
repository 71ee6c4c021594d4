"""Classification: a label for a whole text, series, image or clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.steps import Encoder
from backtime.data.classes import Examples, Labelled, encoding_of, read_all, read_parts
from backtime.data.labelled import Reading
from backtime.data.lexicon import Lexicon
from backtime.fields import check, described
from backtime.models.file import ModelFile
from backtime.models.reader_config import ReaderConfig
from backtime.runtime.reader import Reader
from backtime.tasks import scores
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.examples import MEASURED_AT_ONCE, ExampleSettings, ExampleTask, answers, fixed_reading
from backtime.training.metrics import Metric
from backtime.training.settings import DATA

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


@dataclass(frozen=True)
class ClassifySettings(ExampleSettings):
    """A run that learns to classify."""

    validation_fraction: float = described(
        0.1, "share of each label's examples, drawn at random, to validate on", group=DATA, least=0, below=1
    )
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
class Evaluation:
    """What to measure with."""

    batch_size: int = described(MEASURED_AT_ONCE, "examples at once", least=1)
    picture: str | None = described(None, "file for the confusion matrix: .svg, .png or .pdf")

    def __post_init__(self) -> None:
        """Check every value."""
        check(self)


class ClassifyTask(ExampleTask):
    """A reader and its examples; the loss is in nats an example."""

    def measure(self, examples: Examples) -> dict[str, float]:
        """Accuracy, macro F1, loss."""
        found, loss = predicted(self.network, examples, self.data.encoder, MEASURED_AT_ONCE)
        return {"loss": loss, **_scores(examples.labels, found)}


class ClassifyKind(TaskKind):
    """Classification."""

    name, settings, evaluation = "classify", ClassifySettings, Evaluation
    data = "texts (CSV, TSV, JSON lines, folder), series (.ts, CSV, NPZ) or images, with labels"
    examples = EXAMPLES

    def metrics(self, settings: ClassifySettings) -> tuple[Metric, ...]:
        """Share of right labels, macro F1, loss; ``settings.metric`` comes first."""
        both = [Metric("accuracy", better="max"), Metric("f1", better="max")]
        if settings.metric == "f1":
            both.reverse()
        return (*both, Metric("loss", "nats an example"))

    def prepare(
        self,
        source: Path | None,
        settings: ClassifySettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Labelled:
        """All examples, in memory."""
        scores.check_installed()
        valid = Path(settings.valid_file) if settings.valid_file else None
        share, reading = settings.validation_fraction, settings.reading()
        training, held_out = read_parts(self.required(source), valid, share, settings.seed, reading)
        standard = settings.scale == "standard"
        encoding = encoding or encoding_of(training, reading, settings.min_count, standard)
        encoder, labels = Encoder.from_json(encoding), Lexicon.from_json(encoding["labels"])
        own, others = (Examples.of(part, encoder, labels) for part in (training, held_out))
        return Labelled(own, others, encoder, encoding)

    def build(self, data: Labelled, settings: ClassifySettings, start: ModelFile | None) -> ClassifyTask:
        """The reader that the settings ask for."""
        from backtime.models.reader import Reader as Network
        from backtime.models.saving import begun_from
        from backtime.training.devices import on_device

        classes = len(data.encoding["labels"]["symbols"])
        network = begun_from(start, Network(ReaderConfig(classes=classes, **settings.sizes(data))))
        network = on_device(network, settings.device)
        return ClassifyTask(network, data, settings, self.name, self.metrics(settings))

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and reading."""
        return fixed_reading(start) | {"label_column": Reading.from_json(start.encoding["reading"]).label}

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """Accuracy, macro F1, loss in nats an example, and how many there were."""
        from backtime.models.saving import build_model

        encoder, labels = Encoder.from_json(model.encoding), Lexicon.from_json(model.encoding["labels"])
        examples = Examples.of(
            read_all(source, Reading.from_json(model.encoding["reading"])), encoder, labels
        )
        found, loss = predicted(build_model(model), examples, encoder, options.batch_size)
        if options.picture:
            scores.draw_confusion(examples.labels, found, labels.symbols, Path(options.picture))
        return {**_scores(examples.labels, found), "loss": loss, "examples": len(found)}

    def predictor(self, model: ModelFile) -> Reader:
        """The runtime's classifier, without PyTorch."""
        return Reader(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """The label of each example."""
        from backtime.tasks.questions.examples import labels

        return labels(model, source, count)


KIND = ClassifyKind()


def predicted(
    network: Network, examples: Examples, encoder: Encoder, batch_size: int
) -> tuple[NDArray[np.int64], float]:
    """The likeliest label of each example, and the mean loss."""
    from torch.nn.functional import cross_entropy

    found, total = np.empty(len(examples.labels), np.int64), 0.0
    for chosen, z, labels in answers(network, examples, encoder, batch_size):
        total += cross_entropy(z, labels, reduction="sum").item()
        found[chosen] = z.argmax(1).numpy(force=True)
    return found, total / len(found)


def _scores(right: NDArray[np.int64], found: NDArray[np.int64]) -> dict[str, float]:
    return {"accuracy": scores.accuracy(right, found), "f1": scores.macro_f1(right, found)}
