"""Records that share calls of the engine.

The engine sums every output in one order, however many rows a call has. NumPy's products do not: what lies
above the engine goes through ``layers.product``, or is done for each record by itself. So a record's answer
has the same bits alone and in company, which ``backtime serve`` promises.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import Packed, pack, unpack
from backtime.reference.weights import Array, Integers
from backtime.runtime.predictor import Prepared, Row
from backtime.runtime.stacks import Stack

T = TypeVar("T")


class Grouped:
    """A predictor of groups: ``predict`` asks ``prepare`` and ``answers`` for each record alone."""

    def prepare(self, record: Any, number: int) -> Prepared:
        """A record and its number, from 1, checked; raises ``UsageError`` where the model cannot take it."""
        raise NotImplementedError

    def answers(self, values: Sequence[Any]) -> list[list[Row]]:
        """The rows of each value that ``prepare`` gave, in any company the same to the bit."""
        raise NotImplementedError

    def predict(self, records: Iterable[Any]) -> Iterator[Row]:
        """The rows of each record, as it comes; ``UsageError`` names one that the model cannot take."""
        for number, record in enumerate(records, 1):
            [rows] = self.answers([self.prepare(record, number).value])
            yield from rows


class Longest(NamedTuple, Generic[T]):
    """Records of any order, the longest first, and the place there of each."""

    records: list[T]
    places: list[int]


def longest_first(records: Sequence[T], lengths: Sequence[int]) -> Longest[T]:
    """Sort; records of equal length stay in their order."""
    order = sorted(range(len(records)), key=lambda n: -lengths[n])
    places = [0] * len(order)
    for place, n in enumerate(order):
        places[n] = place
    return Longest([records[n] for n in order], places)


def apart(rows: Array, batch_sizes: NDArray[np.int64]) -> list[Array]:
    """The rows (T_b, ...) of each packed record."""
    return cast(list[Array], unpack(Packed(rows, batch_sizes)))


def stepped(stack: Stack, records: Sequence[Array | Integers]) -> tuple[list[Array], list[Array]]:
    """All steps of records, the longest first: the outputs (T_b, V) of each, and the last state, a row each.

    Records are rows (T_b, I), or integers (T_b,). Each step is one call for all that have it.
    """
    packed = pack(records)
    state = stack.zero_state(len(records))
    outputs, first = [], 0
    for size in packed.batch_sizes.tolist():
        own = [part[:size] for part in state]
        rows = cast(Array, packed.rows[first : first + size])
        outputs.append(stack.step(rows, own).copy())
        first += size
    return apart(np.concatenate(outputs), packed.batch_sizes), state
