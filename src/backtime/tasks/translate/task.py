"""Translation to the trainer: batches of pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtime.data.written import Padded, Record
from backtime.tasks.shared.writing import WritingTask, text_batch

if TYPE_CHECKING:
    from backtime.models.writer import TextBatch, Writer


class TranslateTask(WritingTask):
    """An encoder-decoder and its pairs, in batches whose sources are about as long as each other."""

    name = "translate"

    def length(self, record: Record) -> int:
        """The symbols of the source."""
        return len(record[0])

    def batch(self, records: list[Record]) -> TextBatch:
        """Pairs as padded tensors where the network is."""
        return batch_of(records, self.network)


def batch_of(pairs: list[Record], network: Writer) -> TextBatch:
    """Pairs as padded tensors where the network is."""
    return text_batch(Padded.of([source for source, _ in pairs]), [target for _, target in pairs], network)
