"""The states of many sequences side by side, so that any of them can be stepped together."""

from collections.abc import Sequence

import numpy as np

from backtime.reference.weights import Array
from backtime.runtime.stacks import Stack

FIRST = 16  # rows to begin with; twice as many whenever they are used up


class Pool:
    """Rows of state for one network: each sequence has one, from ``take`` to ``give``.

    ``bytes_each`` is what a row needs. The arrays grow with use, up to what the callers' limits let them.
    """

    def __init__(self, stack: Stack) -> None:
        """No memory to speak of is taken yet."""
        self._parts = stack.zero_state(FIRST)
        self._free = list(range(FIRST))
        self._each_layer = len(self._parts) // len(stack.layers)
        self.bytes_each = sum(part[0].nbytes for part in self._parts)

    def take(self) -> int:
        """A row of zeros."""
        if not self._free:
            self._grow()
        row = self._free.pop()
        self.clear(row)
        return row

    def give(self, row: int) -> None:
        """The row is free again."""
        self._free.append(row)

    def clear(self, row: int) -> None:
        """Zeros again."""
        for part in self._parts:
            part[row] = 0

    def gather(self, rows: Sequence[int]) -> list[Array]:
        """The state of some rows, in the order given, as ``kernels.Stack.step`` takes it."""
        return [part[rows] for part in self._parts]

    def scatter(self, rows: Sequence[int], state: Sequence[Array]) -> None:
        """Put the state back after a step."""
        for part, own in zip(self._parts, state, strict=True):
            part[rows] = own

    def activations(self, row: int, layer: int) -> Array:
        """h of a layer, (P,); it is part of the pool and changes with the next step."""
        h: Array = self._parts[layer * self._each_layer][row]
        return h

    def _grow(self) -> None:
        size = len(self._parts[0])
        self._parts = [np.concatenate([part, np.zeros_like(part)]) for part in self._parts]
        self._free = list(range(size, 2 * size))
