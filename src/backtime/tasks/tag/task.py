"""Tagging to the trainer: batches of sentences, and their loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtime.data.batching.buckets import pack
from backtime.data.lexicon import unread, with_unread
from backtime.data.tagged import Tagged, batch_of, tag_numbers
from backtime.tasks.shared.network_task import BucketTask
from backtime.tasks.tag.measuring import measure
from backtime.tasks.tag.settings import MEASURED_AT_ONCE, TagSettings
from backtime.training.metrics import Metric
from backtime.training.task import Carried

if TYPE_CHECKING:
    import torch

    from backtime.models.tagger import Tagger as Network


def metrics_of(settings: TagSettings) -> tuple[Metric, ...]:
    """The one that was chosen, the share of right tags, the loss."""
    f1 = (Metric("f1", better="max"),) if settings.metric == "f1" else ()
    return (*f1, Metric("accuracy", better="max"), Metric("loss", "nats a word", counted="words"))


class TagTask(BucketTask):
    """A tagger and its sentences, in batches of sentences about as long as each other."""

    name = "tag"
    network: Network
    data: Tagged

    def __init__(self, network: Network, data: Tagged, settings: TagSettings) -> None:
        """Number the tags; how often each word came decides how often it is read as unknown."""
        self.tags = [tag_numbers(sentence, data.lexicons) for sentence in data.training]
        super().__init__(network, data, settings, [len(own) for own in self.tags])
        self.metrics = metrics_of(settings)
        words = data.lexicons["words"]
        numbers = (words.numbers(map(str.lower, own.words)) for own in data.training)
        self.unread = unread(numbers, len(words), settings.word_dropout)

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch of sentences, nats a word."""
        from backtime.training.devices import tensors

        chosen = self.buckets.batch(epoch, step)
        batch = batch_of([self.data.training[n] for n in chosen], self.data.lexicons)
        if self.network.training:  # a save measures the next step, and must not draw
            batch = batch._replace(words=with_unread(batch.words, self.unread))
        (tags,) = tensors((pack([self.tags[n] for n in chosen]).rows,), self.network)
        return self.network.loss(batch, tags), None, len(tags)

    def validate(self) -> dict[str, float]:
        """The metrics on the sentences that are held out."""
        if not self.data.held_out:
            return {}
        found = measure(self.network, self.data.held_out, self.data.lexicons, MEASURED_AT_ONCE)
        return {metric.name: float(found[metric.name]) for metric in self.metrics}
