"""Sequences of any lengths in any order as packed rows, and back.

Packed rows ``(R, ...)`` hold step 0 of every sequence, then step 1 of those that have one, and so on, the
sequences by falling length: the layout of ``torch.nn.utils.rnn.PackedSequence``.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UsageError
from backtime.reference.weights import Integers

AnyArray = NDArray[Any]


class Packing(NamedTuple):
    """Where each step of each sequence lies among the packed rows; made by ``of``."""

    lengths: Integers  # (B,)  of the sequences as they were given
    order: Integers  # (B,)  the sequences by falling length, equal ones as they came
    batch_sizes: Integers  # (T,)  sequences that have a step t
    times: Integers  # (R,)  the step that a row is
    columns: Integers  # (R,)  the sequence, as given, that a row belongs to

    @classmethod
    def of(cls, lengths: Any) -> "Packing":
        """The packing of sequences of these ``lengths`` (B,), zero included."""
        given = np.asarray(lengths)
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise UsageError(f"lengths is {given.dtype} of shape {given.shape}; expected integers (B,)")
        if given.size and given.min() < 0:
            raise UsageError(f"lengths has values from {given.min()}; expected lengths from 0")
        own = given.astype(np.int64)
        order = np.argsort(-own, kind="stable")
        T = int(own.max(initial=0))
        batch_sizes = len(own) - np.cumsum(np.bincount(own, minlength=T + 1))[:T]
        times = np.repeat(np.arange(T), batch_sizes)
        return cls(own, order, batch_sizes, times, order[_places(batch_sizes)])

    @property
    def inverse(self) -> Integers:
        """(B,) The place of each sequence, as given, in ``order``: ``state[order][inverse]`` is ``state``."""
        return np.argsort(self.order)

    def pack(self, x: AnyArray) -> AnyArray:
        """(T, B, ...) as rows (R, ...); what lies beyond a sequence's end is left out."""
        T, B = len(self.batch_sizes), len(self.lengths)
        if x.ndim < 2 or x.shape[0] < T or x.shape[1] != B:
            raise UsageError(f"x has shape {x.shape}; expected (T, B, ...) with T from {T} and B = {B}")
        return x[self.times, self.columns]

    def unpack(self, y: AnyArray, T: int | None = None) -> AnyArray:
        """Rows (R, ...) as (T, B, ...), zeros beyond a sequence's end; ``T`` is the longest when None."""
        longest, R = len(self.batch_sizes), len(self.times)
        if y.ndim < 1 or len(y) != R:
            raise UsageError(f"y has shape {y.shape}; expected (R, ...) with R = {R}")
        if T is not None and longest > T:
            raise UsageError(f"T is {T}; expected at least the longest of the lengths, {longest}")
        out = np.zeros((longest if T is None else T, len(self.lengths), *y.shape[1:]), y.dtype)
        out[self.times, self.columns] = y
        return out


def rows_of(batch_sizes: Integers, b: int) -> Integers:
    """The rows of the sequence in place ``b``, in the order of its steps."""
    starts = np.cumsum(batch_sizes) - batch_sizes
    return starts[batch_sizes > b] + b


def _places(batch_sizes: Integers) -> Integers:
    """(R,) The place of a row in its step."""
    starts = np.cumsum(batch_sizes) - batch_sizes
    return np.arange(batch_sizes.sum()) - np.repeat(starts, batch_sizes)
