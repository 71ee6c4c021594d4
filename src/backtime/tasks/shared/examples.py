"""What tasks share that read whole examples, texts, series, images or clips, and give one answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

from backtime.data.batching.buckets import Buckets
from backtime.data.batching.steps import Encoder
from backtime.data.classes import Answered, Examples
from backtime.data.labelled import Reading
from backtime.data.lexicon import unread, with_unread
from backtime.errors import UsageError
from backtime.fields import described
from backtime.models.file import ModelFile
from backtime.tasks.shared.network_task import BucketTask
from backtime.tasks.shared.settings import SequenceEncoderSettings, epochs
from backtime.training.metrics import Metric
from backtime.training.settings import DATA, STEPS
from backtime.training.task import Carried

if TYPE_CHECKING:
    import torch

MEASURED_AT_ONCE = 64  # examples


@dataclass(frozen=True)
class ExampleSettings(SequenceEncoderSettings):
    """A run that learns one answer for a whole example."""

    valid_file: str | None = described(None, "data to validate on, in place of a share of DATA", group=DATA)
    text_column: str = described("text", "name of the column of texts", group=DATA)
    series_column: str = described(
        "series", "name of the column that says which series a step is of", group=DATA
    )
    image_steps: str = described("rows", "what a step of an image is", group=DATA, choices=("rows", "pixels"))
    scale: str = described(
        "standard", "numbers: to mean 0 and deviation 1 of the training part, or as they are",
        group=DATA, choices=("standard", "none"),
    )  # fmt: skip
    recurrence: str = described(
        "last", "where the output is: after the last step, or, in training, a copy at every step (hidden)",
        group=STEPS, choices=("last", "hidden"),
    )  # fmt: skip
    epochs: int = epochs(15)

    def __post_init__(self) -> None:
        """Check what means something only together."""
        super().__post_init__()
        if self.recurrence == "hidden" and (self.bidirectional or self.pooling != "last"):
            raise UsageError(
                "--recurrence hidden needs --pooling last and one direction: it says what it has read so far"
            )

    @property
    def answers(self) -> str:
        """The name of the column of answers."""
        raise NotImplementedError

    @property
    def valid_path(self) -> Path | None:
        """What is validated on, where it is a file of its own."""
        return Path(self.valid_file) if self.valid_file else None

    def reading(self) -> Reading:
        """How files are read."""
        names = self.text_column, self.answers, self.series_column
        return Reading(*names, self.image_steps, self.level)

    def sizes(self, data: Answered) -> dict[str, Any]:
        """What the network's configuration has of the settings, and the sizes of what it reads."""
        chosen = self.network()
        if data.encoder.symbols is not None:
            return chosen | {"symbols": len(data.encoder.symbols), "embedding_size": self.embedding_size}
        return chosen | {"channels": len(data.encoding["scale"]["mean"])}


def fixed_reading(start: ModelFile) -> dict[str, Any]:
    """The settings of network and reading that ``--init-from`` decides, but for the column of answers."""
    fixed = ExampleSettings.network_of(start)
    reading = Reading.from_json(start.encoding["reading"])
    fixed |= {"text_column": reading.text, "series_column": reading.series, "image_steps": reading.steps}
    if "symbols" in start.encoding:
        fixed |= {"level": reading.level}
        fixed |= {"embedding_size": getattr(start.config, "embedding_size", 0)}
    return fixed


class ExampleTask(BucketTask):
    """A network and its examples, in batches of examples about as long as each other.

    The network has ``scores(rows, batch_sizes)`` and ``loss(rows, batch_sizes, answers, every_step)``.
    """

    network: Any
    data: Answered
    settings: ExampleSettings

    def __init__(
        self, network: Any, data: Answered, settings: ExampleSettings, metrics: tuple[Metric, ...]
    ) -> None:
        """Lay the batches out; of texts, count how often each symbol comes."""
        super().__init__(network, data, settings, [len(record) for record in data.training.records])
        self.metrics = metrics
        symbols = data.encoder.symbols
        self.unread = unread(data.training.records, len(symbols), settings.word_dropout) if symbols else None

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch of examples."""
        import torch

        from backtime.training.devices import tensors

        chosen, own = self.buckets.batch(epoch, step), self.data.training
        packed = self.data.encoder.batch([own.records[n] for n in chosen])
        read = packed.rows
        if self.unread is not None and self.network.training:  # a save measures the next step, without draws
            read = with_unread(read, self.unread)
        rows, answers = tensors((read, own.labels[chosen]), self.network)
        every = self.settings.recurrence == "hidden"
        loss = self.network.loss(rows, torch.from_numpy(packed.batch_sizes), answers, every)
        return loss, None, len(rows) if every else len(answers)

    def validate(self) -> dict[str, float]:
        """The metrics on the examples that are held out."""
        if not self.data.held_out.records:
            return {}
        values = self.measure(self.data.held_out)
        return {metric.name: values[metric.name] for metric in self.metrics}

    def measure(self, examples: Examples) -> dict[str, float]:
        """The scores of the network on examples, its mean loss among them."""
        raise NotImplementedError


class Answers(NamedTuple):
    """Scores (B, K) of a batch, and what is right (B,): tensors; ``chosen`` are the examples' numbers."""

    chosen: NDArray[Any]
    scores: torch.Tensor
    right: torch.Tensor


def answers(network: Any, examples: Examples, encoder: Encoder, batch_size: int) -> Iterator[Answers]:
    """The network's answers about all examples, batch by batch, in no order of their own."""
    import torch

    from backtime.training.devices import measuring, tensors

    buckets = Buckets([len(record) for record in examples.records], batch_size, shuffle=False)
    with measuring(network):
        for step in range(len(buckets)):
            chosen = buckets.batch(0, step)
            packed = encoder.batch([examples.records[n] for n in chosen])
            rows, right = tensors((packed.rows, examples.labels[chosen]), network)
            yield Answers(chosen, network.scores(rows, torch.from_numpy(packed.batch_sizes)), right)
