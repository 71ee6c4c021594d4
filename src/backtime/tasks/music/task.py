"""Music to the trainer: batches of pieces, and their loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtime.tasks.music.data import Pieces, cut
from backtime.tasks.music.measuring import frame_losses, measure
from backtime.tasks.music.settings import MusicSettings
from backtime.tasks.shared.network_task import BucketTask
from backtime.training.metrics import Metric
from backtime.training.task import Carried

if TYPE_CHECKING:
    import torch

    from backtime.models.piano import Piano as Network


class MusicTask(BucketTask):
    """Batches of pieces of nearly equal length, as packed rows."""

    name = "music"
    network: Network
    data: Pieces
    metrics = (Metric("loss", "nats a frame", counted="frames"),)

    def __init__(self, model: Network, data: Pieces, settings: MusicSettings) -> None:
        """Cut what is longer than ``seq_length``."""
        self.pieces = [part for piece in data.training for part in cut(piece, settings.seq_length)]
        super().__init__(model, data, settings, [len(x) for x, _ in self.pieces])

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean negative log-likelihood of a batch, nats a frame."""
        losses, _ = frame_losses(self.network, [self.pieces[n] for n in self.buckets.batch(epoch, step)])
        return losses.mean(), None, len(losses)

    def validate(self) -> dict[str, float]:
        """Mean negative log-likelihood of the validation pieces, nats a frame, each read to its end."""
        if not self.data.held_out:
            return {}
        total, _, frames, _ = measure(self.network, self.data.held_out)
        return {"loss": total / frames}
