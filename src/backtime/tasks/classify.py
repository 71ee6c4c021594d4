"""Classification: a label for a whole text, series, image or clip."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import Buckets
from backtime.data.batching.steps import LEVELS, Encoder
from backtime.data.classes import Examples, Labelled, encoding_of, read_all, read_parts
from backtime.data.labelled import Reading
from backtime.data.lexicon import Lexicon, unread
from backtime.errors import UsageError
from backtime.fields import check, described
from backtime.models.file import ModelFile
from backtime.models.reader_config import POOLINGS, ReaderConfig
from backtime.runtime.reader import Reader
from backtime.tasks import scores
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.network import LAYERS, RecurrentSettings, output_layers
from backtime.training.metrics import Metric
from backtime.training.settings import DATA, LENGTH, NETWORK, STEPS
from backtime.training.task import Carried, Task

if TYPE_CHECKING:
    import torch

    from backtime.insight.decisions import Decision
    from backtime.models.reader import Reader as Network

NETWORK_FIELDS = (*LAYERS, "output_layers", "bidirectional", "pooling")
MEASURED_AT_ONCE = 64  # examples

EXAMPLES = """\
examples:
  backtime train reviews.csv --task classify
  backtime train names --task classify --level char
  backtime train JapaneseVowels_TRAIN.ts --task classify --epochs 60 --bidirectional
  backtime evaluate runs/reviews-lstm-1 test.csv --picture confusion.svg
  backtime predict runs/reviews-lstm-1 new.csv"""


@dataclass(frozen=True)
class ClassifySettings(RecurrentSettings):
    """A run that learns to classify."""

    validation_fraction: float = described(
        0.1, "share of each label's examples, drawn at random, to validate on", group=DATA, least=0, below=1
    )
    valid_file: str | None = described(None, "data to validate on, in place of a share of DATA", group=DATA)
    text_column: str = described("text", "name of the column of texts", group=DATA)
    label_column: str = described("label", "name of the column of labels", group=DATA)
    series_column: str = described(
        "series", "name of the column that says which series a step is of", group=DATA
    )
    level: str = described("word", "of texts: what a symbol is", group=DATA, choices=LEVELS)
    min_count: int = described(1, "how often a symbol comes at least to have a vector", group=DATA, least=1)
    image_steps: str = described("rows", "what a step of an image is", group=DATA, choices=("rows", "pixels"))
    scale: str = described(
        "standard", "numbers: to mean 0 and deviation 1 of the training part, or as they are",
        group=DATA, choices=("standard", "none"),
    )  # fmt: skip
    metric: str = described(
        "accuracy", "what makes a model the best; f1 is the mean of the labels' F1",
        group=DATA, choices=("accuracy", "f1"),
    )  # fmt: skip
    hidden_size: int = described(128, "units a layer and direction", group=NETWORK, least=1)
    layers: int = described(1, "recurrent layers, one above the other", group=NETWORK, least=1)
    dropout: float = described(
        0.3, "share of units dropped: embedding, layers, pooled vector", group=NETWORK, least=0, below=1
    )
    embedding_size: int = described(100, "of texts: length of a symbol's vector", group=NETWORK, least=1)
    output_layers: int = output_layers()
    bidirectional: bool = described(False, "read in both directions", group=NETWORK)
    pooling: str = described("last", "what of all steps is classified", group=NETWORK, choices=POOLINGS)
    word_dropout: float = described(
        0.25, "of texts: a symbol that came N times is read as unknown with probability A / (A + N)",
        group=STEPS, least=0,
    )  # fmt: skip
    recurrence: str = described(
        "last", "where the output is: after the last step, or, in training, a copy at every step (hidden)",
        group=STEPS, choices=("last", "hidden"),
    )  # fmt: skip
    epochs: int = described(15, "passes through the data", group=LENGTH, least=1)

    def __post_init__(self) -> None:
        """Check what means something only together."""
        super().__post_init__()
        if self.recurrence == "hidden" and (self.bidirectional or self.pooling != "last"):
            raise UsageError(
                "--recurrence hidden needs --pooling last and one direction: it says what it has read so far"
            )

    def reading(self) -> Reading:
        """How files are read."""
        names = self.text_column, self.label_column, self.series_column
        return Reading(*names, self.image_steps, self.level)


@dataclass(frozen=True)
class Evaluation:
    """What to measure with."""

    batch_size: int = described(MEASURED_AT_ONCE, "examples at once", least=1)
    picture: str | None = described(None, "file for the confusion matrix: .svg, .png or .pdf")

    def __post_init__(self) -> None:
        """Check every value."""
        check(self)


class ClassifyTask(Task):
    """A reader and its examples, in batches of examples about as long as each other."""

    def __init__(self, network: Network, data: Labelled, settings: ClassifySettings) -> None:
        """Lay the batches out."""
        self.network, self.data, self.settings = network, data, settings
        lengths = [len(record) for record in data.training.records]
        self.buckets = Buckets(lengths, settings.batch_size, settings.seed)
        self.steps_per_epoch = len(self.buckets)
        self.metrics = KIND.metrics(settings)
        symbols = data.encoder.symbols
        self.unread = unread(data.training.records, len(symbols), settings.word_dropout) if symbols else None

    @property
    def model(self) -> Network:
        """The reader."""
        return self.network

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch of examples, nats an example."""
        import torch

        from backtime.training.devices import tensors

        chosen, own = self.buckets.batch(epoch, step), self.data.training
        packed = self.data.encoder.batch([own.records[n] for n in chosen])
        read = packed.rows
        if self.unread is not None and self.network.training:  # a save measures the next step, without draws
            read = np.where(np.random.random(len(read)) < self.unread[read], 0, read)
        rows, labels = tensors((read, own.labels[chosen]), self.network)
        every = self.settings.recurrence == "hidden"
        loss = self.network.loss(rows, torch.from_numpy(packed.batch_sizes), labels, every)
        return loss, None, len(rows) if every else len(labels)

    def validate(self) -> dict[str, float]:
        """The metrics on the examples that are held out."""
        if not self.data.held_out.records:
            return {}
        found, loss = predicted(self.network, self.data.held_out, self.data.encoder, MEASURED_AT_ONCE)
        values = {"loss": loss, **_scores(self.data.held_out.labels, found)}
        return {metric.name: values[metric.name] for metric in self.metrics}

    def save_model(self, path: Path) -> None:
        """Write the model file."""
        from backtime.models.saving import save_model

        save_model(path, self.network, KIND.name, self.data.encoding)


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
        training, held_out = read_parts(_required(source), valid, share, settings.seed, reading)
        standard = settings.scale == "standard"
        encoding = encoding or encoding_of(training, reading, settings.min_count, standard)
        encoder, labels = Encoder.from_json(encoding), Lexicon.from_json(encoding["labels"])
        own, others = (Examples.of(part, encoder, labels) for part in (training, held_out))
        return Labelled(own, others, encoder, encoding)

    def build(self, data: Labelled, settings: ClassifySettings, start: ModelFile | None) -> ClassifyTask:
        """The reader that the settings ask for."""
        from backtime.models.reader import Reader as Network
        from backtime.models.saving import build_model
        from backtime.training.devices import on_device

        chosen = {name: getattr(settings, name) for name in (*NETWORK_FIELDS, "dropout")}
        network = Network(ReaderConfig(**chosen, **_sizes(data, settings)))
        if start:
            network.load_state_dict(build_model(start).state_dict())
        return ClassifyTask(on_device(network, settings.device), data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and reading."""
        fixed = {name: getattr(start.config, name) for name in NETWORK_FIELDS}
        reading = Reading.from_json(start.encoding["reading"])
        fixed |= {"text_column": reading.text, "label_column": reading.label}
        fixed |= {"series_column": reading.series, "image_steps": reading.steps}
        if "symbols" in start.encoding:
            fixed |= {"level": reading.level}
            fixed |= {"embedding_size": getattr(start.config, "embedding_size", 0)}
        return fixed

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

    def decisions(self, model: ModelFile, source: Path, count: int) -> list[Decision]:
        """Which steps of each example decided for the label that was found."""
        import torch

        from backtime.insight.decisions import Decision, contributions
        from backtime.models.saving import build_model

        network, encoder = build_model(model).eval(), Encoder.from_json(model.encoding)
        labels = Lexicon.from_json(model.encoding["labels"]).symbols
        found = []
        for example in read_all(source, Reading.from_json(model.encoding["reading"]))[:count]:
            rows, sizes = map(torch.from_numpy, encoder.batch([encoder.encode(example)]))
            scores = network.scores(rows, sizes).detach()[0]
            best = int(scores.argmax())
            added = contributions(network.rnn, partial(_score, network, rows, sizes, best))
            steps = encoder.names(example)
            found.append(Decision(labels[best], float(scores.softmax(0)[best]), steps, *added))
        return found


KIND = ClassifyKind()


def predicted(
    network: Network, examples: Examples, encoder: Encoder, batch_size: int
) -> tuple[NDArray[np.int64], float]:
    """The likeliest label of each example, and the mean loss."""
    import torch
    from torch.nn.functional import cross_entropy

    from backtime.training.devices import measuring, tensors

    buckets = Buckets([len(record) for record in examples.records], batch_size, shuffle=False)
    found, total = np.empty(len(examples.labels), np.int64), 0.0
    with measuring(network):
        for step in range(len(buckets)):
            chosen = buckets.batch(0, step)
            packed = encoder.batch([examples.records[n] for n in chosen])
            rows, labels = tensors((packed.rows, examples.labels[chosen]), network)
            z = network.scores(rows, torch.from_numpy(packed.batch_sizes))
            total += cross_entropy(z, labels, reduction="sum").item()
            found[chosen] = z.argmax(1).numpy(force=True)
    return found, total / len(found)


def _score(network: Network, rows: torch.Tensor, sizes: torch.Tensor, label: int) -> torch.Tensor:
    return network.scores(rows, sizes)[0, label]


def _scores(right: NDArray[np.int64], found: NDArray[np.int64]) -> dict[str, float]:
    return {"accuracy": scores.accuracy(right, found), "f1": scores.macro_f1(right, found)}


def _required(source: Path | None) -> Path:
    if source is None:
        raise UsageError(f"--task classify needs DATA: {ClassifyKind.data}")
    return source


def _sizes(data: Labelled, settings: ClassifySettings) -> dict[str, Any]:
    sizes: dict[str, Any] = {"classes": len(data.encoding["labels"]["symbols"])}
    if data.encoder.symbols is not None:
        return sizes | {"symbols": len(data.encoder.symbols), "embedding_size": settings.embedding_size}
    return sizes | {"channels": len(data.encoding["scale"]["mean"])}
