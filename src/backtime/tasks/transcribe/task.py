"""Transcription to the trainer: batches of utterances, and their loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtime.data.audio import Utterances
from backtime.data.lexicon import Lexicon
from backtime.tasks.shared.network_task import BucketTask
from backtime.tasks.transcribe.measuring import batch_of, measure
from backtime.tasks.transcribe.settings import TranscribeSettings
from backtime.training.metrics import Metric
from backtime.training.task import Carried

if TYPE_CHECKING:
    import torch

    from backtime.models.transcriber import Transcriber as Network


class TranscribeTask(BucketTask):
    """A transcriber and its utterances, in batches of utterances about as long as each other."""

    name = "transcribe"
    network: Network
    data: Utterances
    metrics = (Metric("cer"), Metric("loss", "nats an utterance", counted="utterances"))

    def __init__(self, network: Network, data: Utterances, settings: TranscribeSettings) -> None:
        """Lay the batches out."""
        super().__init__(network, data, settings, [len(features) for features, _ in data.training])

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch, nats an utterance."""
        chosen = [self.data.training[n] for n in self.buckets.batch(epoch, step)]
        return self.network.loss(*batch_of(chosen, self.network)), None, len(chosen)

    def validate(self) -> dict[str, float]:
        """The share of wrong characters, of the likeliest text, and the loss."""
        if not self.data.held_out:
            return {}
        characters = Lexicon.from_json(self.data.encoding["characters"])
        return measure(self.network, self.data.held_out, characters)
