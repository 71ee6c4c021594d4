"""Records of unequal length side by side: batches of records about as long as each other.

A batch is as long as its longest record, but the engine reads packed rows, so padding costs nothing there.
Equal lengths still matter: the steps at which few records are left fill the processor badly. So records are
shuffled, sorted by length within pools of many batches, cut into batches, and the batches shuffled again.

The order of an epoch is a function of ``seed`` and the epoch alone. So a place in it is two numbers, the
epoch and the batch, and a resumed run goes on with the very same batches.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backtime.data.batching.share import own_records
from backtime.errors import UsageError

POOL = 50  # batches that are sorted together: few enough to mix epochs, enough for nearly equal lengths


class Buckets:
    """The batches of each epoch, for records of the given lengths.

    ``batch(epoch, k)`` is the numbers of the records in batch ``k`` of an epoch, the longest first, so that
    they are in the order of packed rows; ``len()`` counts the batches of an epoch. Every record comes once
    an epoch. All batches have ``batch_size`` records, except one that takes what is left.

    Where several processes train together, each gets its share of the batch.

    With ``shuffle=False``, for measuring, all epochs are the same and the records are sorted once.

    Raises ``UsageError`` when there is no record, or one without a step.
    """

    def __init__(
        self, lengths: ArrayLike, batch_size: int, seed: int = 0, *, shuffle: bool = True, pool: int = POOL
    ) -> None:
        """Check the lengths; no order is made yet."""
        self.lengths = np.asarray(lengths, np.int64)
        for name, value in (("batch_size", batch_size), ("pool", pool)):
            if value < 1:
                raise UsageError(f"{name} is {value}; expected a number from 1")
        if self.lengths.ndim != 1 or not self.lengths.size:
            raise UsageError(f"lengths has shape {self.lengths.shape}; expected (N,) of at least one record")
        if self.lengths.min() < 1:
            raise UsageError(f"record {int(self.lengths.argmin())} is empty; expected a step in each")
        self.batch_size, self.seed, self.shuffle, self.pool = batch_size, seed, shuffle, pool
        self._epoch, self._order = -1, np.zeros(0, np.int64)
        self._starts = np.zeros(0, np.int64)

    def __len__(self) -> int:
        """The number of batches of an epoch."""
        return -(-self.lengths.size // self.batch_size)

    def batch(self, epoch: int, k: int) -> NDArray[np.int64]:
        """The numbers of the records in batch ``k`` of ``epoch``, both from 0, the longest record first."""
        if not 0 <= k < len(self):
            raise UsageError(f"batch is {k}; expected 0 to {len(self) - 1}")
        epoch = epoch if self.shuffle else 0
        if epoch != self._epoch:
            self._order, self._starts = self._arranged(epoch)
            self._epoch = epoch
        batch = self._order[self._starts[k] : self._starts[k] + self.batch_size]  # one may be shorter
        return own_records(batch) if self.shuffle else batch

    def _arranged(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The records in the order of their batches, and where each batch starts."""
        starts = np.arange(0, self.lengths.size, self.batch_size)
        if not self.shuffle:
            return np.argsort(-self.lengths, kind="stable"), starts
        generator = np.random.Generator(np.random.PCG64([self.seed, epoch]))
        order = generator.permutation(self.lengths.size)
        width = self.pool * self.batch_size
        for first in range(0, order.size, width):
            part = order[first : first + width]
            part[:] = part[np.argsort(-self.lengths[part], kind="stable")]
        return order, generator.permutation(starts)


class Packed(NamedTuple):
    """Records as packed rows: what ``torch.nn.utils.rnn.PackedSequence`` and the engine read.

    ``rows`` (R, ...) has the first step of every record, then the second of those that have one, and so on;
    ``batch_sizes`` (T,) says how many records each step has.
    """

    rows: NDArray[np.generic]
    batch_sizes: NDArray[np.int64]


def pack(records: Sequence[NDArray[np.generic]]) -> Packed:
    """Records, each (T_b, ...) and the longest first, as packed rows; no row is padding.

    Raises ``UsageError`` when they are in another order or one is empty.
    """
    lengths = np.array([len(record) for record in records], np.int64)
    if not lengths.size or lengths[-1] < 1 or (np.diff(lengths) > 0).any():
        raise UsageError(f"records have lengths {lengths.tolist()[:8]}; expected the longest first, none 0")
    batch_sizes = (np.arange(int(lengths[0]))[:, None] < lengths).sum(axis=1)
    places = np.concatenate([np.arange(length) for length in lengths])  # the step of each row
    which = np.repeat(np.arange(lengths.size), lengths)
    return Packed(np.concatenate(records)[np.lexsort((which, places))], batch_sizes)


def unpack(packed: Packed) -> list[NDArray[np.generic]]:
    """The records of packed rows, each (T_b, ...): the inverse of ``pack``."""
    starts = np.concatenate([[0], np.cumsum(packed.batch_sizes)[:-1]])
    lengths = [int((packed.batch_sizes > b).sum()) for b in range(int(packed.batch_sizes[0]))]
    return [packed.rows[starts[:length] + b] for b, length in enumerate(lengths)]
