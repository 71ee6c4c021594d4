"""Which part of each training batch this process takes: all of it, unless several processes train together.

``training.distributed`` says it once, at the beginning; ``Streams`` and ``Buckets`` ask. Measuring reads
everything.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UsageError

Numbers = NDArray[np.int64]


class Share(NamedTuple):
    """Process ``number`` of ``of``."""

    number: int = 0
    of: int = 1

    def columns(self, batch_size: int) -> range:
        """The streams of this process, side by side; raises ``UsageError`` where they do not divide."""
        if batch_size % self.of:
            raise UsageError(f"--batch-size {batch_size} does not divide by {self.of} processes")
        width = batch_size // self.of
        return range(self.number * width, (self.number + 1) * width)

    def records(self, batch: Numbers) -> Numbers:
        """The records of this process, the longest first as in the batch: every ``of``-th.

        A batch with fewer records than processes leaves some with none: they take the first one, which
        ``idle`` says not to count.
        """
        found = batch[self.number :: self.of]
        return found if len(found) else batch[:1]

    def idle(self, batch_length: int) -> bool:
        """Whether a batch of that many records leaves this process none."""
        return batch_length <= self.number


class _Own:
    share, idle = Share(), False


def take(number: int, of: int) -> None:
    """From now on this process is ``number`` of ``of``."""
    _Own.share, _Own.idle = Share(number, of), False


def share() -> Share:
    """What this process takes."""
    return _Own.share


def own_records(batch: Numbers) -> Numbers:
    """``Share.records`` of this process; ``is_idle`` then says whether they count."""
    _Own.idle = _Own.share.idle(len(batch))
    return _Own.share.records(batch)


def is_idle() -> bool:
    """Whether the records that were taken last are a stand-in."""
    return _Own.idle
