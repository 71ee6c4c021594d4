"""Captions to the trainer: batches of images with texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtime.data.batching.steps import Scale
from backtime.data.written import Record
from backtime.tasks.shared.writing import WritingTask, text_batch
from backtime.training.metrics import Metric

if TYPE_CHECKING:
    from backtime.models.writer import TextBatch, Writer


class CaptionTask(WritingTask):
    """A captioner and its images, in batches of images whose texts are about as long as each other."""

    name = "caption"
    metrics = (*WritingTask.metrics, Metric("exact", better="max"))

    def length(self, record: Record) -> int:
        """The symbols of the text."""
        return len(record[1])

    def batch(self, records: list[Record]) -> TextBatch:
        """Scaled images and padded texts where the network is."""
        return batch_of(records, self.network, Scale.from_json(self.data.encoding["scale"]))

    def validate(self) -> dict[str, float]:
        """The loss, and the share of texts that are right as a whole, the likeliest symbol at each step."""
        found, right = super().validate(), 0
        for batch in self.measured():
            T = len(batch.outputs)
            same = self.network.written(batch.source, T) == batch.outputs
            there = batch.lengths > batch.lengths.new_tensor(range(T))[:, None]
            right += int((same | ~there).all(0).sum())
        return {**found, "exact": right / len(self.data.held_out)} if found else {}


def batch_of(records: list[Record], network: Writer, scale: Scale) -> TextBatch:
    """Scaled images (B, K, R, C) and padded texts where the network is."""
    images = np.stack([image for image, _ in records])
    scaled = ((images - scale.mean) / scale.deviation).transpose(0, 3, 1, 2)
    return text_batch((np.ascontiguousarray(scaled),), [text for _, text in records], network)
