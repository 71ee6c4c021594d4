"""What tasks that write a text share: their settings, their training, how they are measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import Buckets
from backtime.data.batching.steps import LEVELS
from backtime.data.written import Numbers, Padded, Record
from backtime.errors import UsageError
from backtime.fields import described
from backtime.runtime.beam import BEAM
from backtime.tasks.base import Data, Options
from backtime.tasks.shared.network_task import BucketTask
from backtime.tasks.shared.settings import (
    LAYERS,
    RecurrentSettings,
    cell,
    dropout,
    epochs,
    hidden_size,
    layers,
)
from backtime.training.metrics import Metric
from backtime.training.settings import DATA, NETWORK, STEPS
from backtime.training.task import Carried

if TYPE_CHECKING:
    import torch

    from backtime.models.writer import TextBatch, Writer

NETWORK_FIELDS: tuple[str, ...] = (*LAYERS, "embedding_size", "attention")
MEASURED_AT_ONCE = 64  # texts


@dataclass(frozen=True)
class WritingSettings(RecurrentSettings):
    """A run that learns to write texts."""

    network_fields = NETWORK_FIELDS

    level: str = described("word", "what a symbol is", group=DATA, choices=LEVELS)
    min_count: int = described(2, "how often a symbol comes at least to be known", group=DATA, least=1)
    longest: int = described(
        50, "symbols; records with a longer text are left out", group=DATA, least=1, below=10_001
    )
    cell: str = cell("gru")
    hidden_size: int = hidden_size(256)
    layers: int = layers(1)
    embedding_size: int = described(128, "length of a symbol's vector", group=NETWORK, least=1)
    attention: bool = described(False, "look at all of the source at each step", group=NETWORK)
    dropout: float = dropout(0.2, "vectors, layers, output")
    teacher_forcing: float = described(
        1.0, "share of right symbols that the writing is fed at the end; it falls from 1 epoch by epoch",
        group=STEPS, least=0,
    )  # fmt: skip
    batch_size: int = described(64, "texts side by side", group=STEPS, least=1)
    epochs: int = epochs(10)

    def __post_init__(self) -> None:
        """Check what means something only together."""
        super().__post_init__()
        if self.teacher_forcing > 1:
            raise UsageError(f"--teacher-forcing is {self.teacher_forcing:g}; expected a share, 0 to 1")


@dataclass(frozen=True)
class Evaluation(Options):
    """How texts are written and measured."""

    beam: int = described(BEAM, "texts written side by side", least=1)
    most: int = described(0, "records that are measured; 0 is all", least=0)


class WritingData(Data, Protocol):
    """What is read, and the texts to it, as numbers."""

    @property
    def training(self) -> Sequence[Record]:
        """What is trained on."""

    @property
    def held_out(self) -> Sequence[Record]:
        """What is validated on."""


class WritingTask(BucketTask):
    """A network that writes, and its records, in batches of records about as long as each other."""

    network: Writer
    data: WritingData
    settings: WritingSettings
    metrics: tuple[Metric, ...] = (Metric("loss", "nats a symbol", counted="symbols"),)

    def __init__(self, network: Writer, data: WritingData, settings: WritingSettings) -> None:
        """Lay the batches out."""
        super().__init__(network, data, settings, [self.length(record) for record in data.training])

    def length(self, record: Record) -> int:
        """What records of a batch have about the same of."""
        raise NotImplementedError

    def batch(self, records: list[Record]) -> TextBatch:
        """Records as tensors where the network is."""
        raise NotImplementedError

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch, nats a symbol."""
        batch = self.batch([self.data.training[n] for n in self.buckets.batch(epoch, step)])
        if self.network.training:
            batch = self._mixed(batch, epoch)
        return self.network.loss(batch), None, int(batch.lengths.sum())

    def _mixed(self, batch: TextBatch, epoch: int) -> TextBatch:
        """Some inputs are what the network itself would have written: two passes, all steps at once.

        Scheduled sampling (Bengio et al., arXiv 1506.03099), in parallel (Duckworth et al., 1906.04331).
        """
        import torch

        done = epoch / max(1, self.settings.epochs - 1)
        own = (1 - self.settings.teacher_forcing) * min(1.0, done)
        if own <= 0:
            return batch
        guesses = self.network.guesses(batch)[:-1]
        taken = torch.rand(guesses.shape, device=guesses.device) < own
        later = torch.where(taken, guesses, batch.inputs[1:])
        return batch._replace(inputs=torch.cat([batch.inputs[:1], later]))

    def validate(self) -> dict[str, float]:
        """The loss on the records that are held out, each step after the right ones."""
        total, count = 0.0, 0
        for batch in self.measured():
            symbols = int(batch.lengths.sum())
            total += self.network.loss(batch).item() * symbols
            count += symbols
        return {"loss": total / count} if count else {}

    def measured(self) -> Iterator[TextBatch]:
        """The batches that are held out; while they come, the network is in eval mode without gradients."""
        from backtime.training.devices import measuring

        if not self.data.held_out:
            return
        lengths = [self.length(record) for record in self.data.held_out]
        buckets = Buckets(lengths, MEASURED_AT_ONCE, shuffle=False)
        with measuring(self.network):
            for step in range(len(buckets)):
                yield self.batch([self.data.held_out[n] for n in buckets.batch(0, step)])


def text_batch(source: Sequence[NDArray[Any]], texts: list[Numbers], network: Writer) -> TextBatch:
    """What is read, and texts as padded inputs and outputs, where the network is."""
    from backtime.models.writer import TextBatch
    from backtime.training.devices import tensors

    end = [network.config.end]
    inputs = Padded.of([np.concatenate([end, text]) for text in texts])
    outputs = Padded.of([np.concatenate([text, end]) for text in texts])
    *read, begun, ended, lengths = tensors((*source, inputs.numbers, *outputs), network)
    return TextBatch(tuple(read), begun, ended, lengths)
