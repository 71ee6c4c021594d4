"""What an exported file is tried on before it is kept: sequences drawn at random, and those of data.

- ``drawn``     random ones, of which a file is always tried
- ``records``   those of a file or folder such as the model was trained on; ``numbering`` makes them numbers

A sequence is what the network reads of one record, as numbers:

- symbols (T,) or steps (T, I), already scaled
- of a forecaster (x (T, I), known (S, F))
- of a tagger a list of words, each a pair of its number and the numbers of its letters
- of a writer (source (T,) or image (R, C, K), the numbers of the text that is written)
"""

from typing import Any, NamedTuple

import numpy as np

from backtime.reference.weights import Array

Sequence = Any  # one of those above


class Trial(NamedTuple):
    """Batches of sequences of different lengths; ``told`` says where they come from: ``"on ..."``.

    ONNX Runtime runs the batches. The other formats take no batch: they run the sequences one by one.
    """

    told: str
    batches: list[list[Sequence]]

    def plain(self) -> list[Array]:
        """The sequences (T,) or (T, I), one by one."""
        each = (own for batch in self.batches for own in batch)
        return [own[0] if isinstance(own, tuple) else own for own in each]

    @property
    def batched(self) -> str:
        """``told``, and the sizes of the batches."""
        *sizes, last = map(str, map(len, self.batches))
        return f"{self.told}, in batches of {', '.join(sizes)} and {last}"


def found(told: str, worst: float, largest: float) -> str:
    """What comes of a trial, in words."""
    return f"{told}: the largest difference is {worst:.1e}, of outputs up to {largest:.3g}"


def padded(rows: list[Any]) -> Array:
    """Sequences of any lengths side by side, (T, B) or (T, B, I), zeros after their ends."""
    first = np.asarray(rows[0])
    shape = (max(map(len, rows)), len(rows), *first.shape[1:])
    whole = np.zeros(shape, np.int64 if first.dtype.kind in "iu" else np.float32)
    for b, row in enumerate(rows):
        whole[: len(row), b] = row
    return whole


def lengths_of(rows: list[Any]) -> Any:
    """How many steps each has, (B,)."""
    return np.array([len(row) for row in rows], np.int32)
