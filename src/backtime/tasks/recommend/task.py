"""Recommending to the trainer: batches of sessions, and their loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtime.data.sessions import Sessions
from backtime.runtime.recommender import TOP
from backtime.tasks.recommend.measuring import measure, packed_rows
from backtime.tasks.recommend.settings import RecommendSettings
from backtime.tasks.shared.network_task import BucketTask
from backtime.training.metrics import Metric
from backtime.training.task import Carried

if TYPE_CHECKING:
    import torch

    from backtime.models.recommender import Recommender as Network

FLATTER = 0.75  # negatives are drawn by the count of an item to this power


class RecommendTask(BucketTask):
    """A recommender and its sessions, in batches of sessions about as long as each other."""

    name = "recommend"
    network: Network
    data: Sessions
    settings: RecommendSettings
    metrics = (
        Metric("recall", better="max"),
        Metric("mrr", better="max"),
        Metric("loss", "nats a step", counted="items"),
    )

    def __init__(self, network: Network, data: Sessions, settings: RecommendSettings) -> None:
        """Lay the batches out; negatives are drawn by how often items come in training."""
        super().__init__(network, data, settings, [len(own) - 1 for own in data.training])
        self.counts = np.bincount(np.concatenate(data.training), minlength=len(data.items))

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch of sessions, nats a step; in eval mode over all items."""
        import torch

        from backtime.training.devices import tensors

        chosen = [self.data.training[n] for n in self.buckets.batch(epoch, step)]
        x, targets, sizes = packed_rows(chosen)
        rows, wanted, counts = tensors((x, targets, self.counts.astype(np.float32)), self.network)
        batch_sizes = torch.from_numpy(sizes)
        if not (self.settings.negatives and self.network.training):
            return self.network.loss(rows, batch_sizes, wanted), None, len(rows)
        shares = (counts.clamp(min=1) ** FLATTER) / (counts.clamp(min=1) ** FLATTER).sum()
        loss = self.network.sampled_loss(rows, batch_sizes, wanted, shares, self.settings.negatives)
        return loss, None, len(rows)

    def validate(self) -> dict[str, float]:
        """Recall and mean reciprocal rank among twenty, and the loss, on the sessions that are held out."""
        if not self.data.held_out:
            return {}
        found = measure(self.network, self.data.held_out, TOP)
        return {metric.name: float(found[metric.name]) for metric in self.metrics}
