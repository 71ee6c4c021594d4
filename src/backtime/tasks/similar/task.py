"""Comparing texts to the trainer: batches of pairs, and their loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from backtime.data.lexicon import unread, with_unread
from backtime.data.similar import Related, Similar
from backtime.tasks.shared.network_task import BucketTask
from backtime.tasks.similar.measuring import METRICS, measure, vectors_of
from backtime.tasks.similar.settings import SimilarSettings
from backtime.training.task import Carried

if TYPE_CHECKING:
    import torch

    from backtime.models.similarity import Similarity as Network


class SimilarTask(BucketTask):
    """A network and its pairs, in batches of pairs about as long as each other."""

    name = "similar"
    network: Network
    data: Similar
    settings: SimilarSettings

    def __init__(self, network: Network, data: Similar, settings: SimilarSettings) -> None:
        """Lay the batches out."""
        own = data.training
        sizes = np.array([len(record) for record in own.records])
        super().__init__(network, data, settings, np.maximum(sizes[own.first], sizes[own.second]))
        self.metrics = METRICS[data.reading.target]
        self.related = Related(own.first, own.second, len(own.records))
        self.unread = unread(own.records, len(data.symbols), settings.word_dropout)

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch of pairs. Both texts of all of them go through the layers in one call."""
        from backtime.training.devices import tensors

        own, chosen = self.data.training, self.buckets.batch(epoch, step)
        first, second = own.first[chosen], own.second[chosen]
        vectors = self._vectors(np.concatenate([first, second]))
        known = self.related(first, second) | (first[:, None] == second)
        values, related = tensors((own.values[chosen], known), self.network)
        u, v = vectors.chunk(2)
        return self.network.loss(u, v, values, related), None, len(chosen)

    def _vectors(self, texts: Any) -> torch.Tensor:
        """The vectors (n, P) of texts; in training mode some symbols are read as unknown."""
        records = [self.data.training.records[n] for n in texts]
        if self.network.training:  # a save measures the next step, and must not draw
            records = [with_unread(own, self.unread) for own in records]
        return vectors_of(self.network, records)

    def validate(self) -> dict[str, float]:
        """The metrics on the pairs that are held out."""
        if not len(self.data.held_out):
            return {}
        found = measure(self.network, self.data.held_out, self.data.reading.target, self.settings.batch_size)
        return {metric.name: float(found[metric.name]) for metric in self.metrics}

    def loss_limit(self, start: float) -> float:
        """Of pairs at least what they cost where all others are nearer by a cosine of 1: log N + 1 / tau.

        ``start`` says little of that: it may be the loss of one pair alone, which costs nothing.
        """
        limit = super().loss_limit(start)
        if self.data.reading.target != "pairs":
            return limit
        return max(limit, math.log(self.settings.batch_size) + 1 / self.settings.temperature)
