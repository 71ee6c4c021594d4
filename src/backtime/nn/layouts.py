"""How sequences lie in the caller's tensors, and how they lie in rows: there and back, by torch operations.

A layout has the input as time-major rows, (T, B, I) or packed (R, I). It brings states (K, B, W) into the
order of the rows, and outputs and last states back into the caller's form. The engine has its own
(``csrc/python/layout.hpp``).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from backtime.nn.call_validation import lengths_of
from backtime.nn.types import Network, PackedRows
from backtime.nn.validation import CallError


class Dense:
    """(T, B, I), (B, T, I) with ``batch_first``, (T, I) of a single sequence; of one step (B, I) or (I,)."""

    batch_sizes: Tensor | None = None
    has_empty = False  # sequences that are in no row

    def __init__(self, x: Tensor, network: Network) -> None:
        """Time-major, with a batch axis."""
        axes = x.ndim - x.is_floating_point() + network.one_step
        self.batched, self.one_step = axes == 2, network.one_step
        self.swapped = network.batch_first and self.batched and not self.one_step
        self.x = self.rows(x)
        self.B = self.x.shape[1]

    def rows(self, value: Tensor) -> Tensor:
        """A tensor shaped as the input is, but for I, as rows."""
        value = value.unsqueeze(0) if self.one_step else value
        return value.unsqueeze(1) if not self.batched else value.transpose(0, 1) if self.swapped else value

    def state_rows(self, part: Tensor) -> Tensor:
        """(K, B, W) from (K, W) of a single sequence."""
        return part if self.batched else part.unsqueeze(1)

    def state(self, part: Tensor) -> Tensor:
        """The reverse of ``state_rows``."""
        part = part if self.batched else part.squeeze(1)
        return part.squeeze(0) if self.one_step else part

    def output(self, y: Tensor) -> Any:
        """The output in the form of the input."""
        y = y.squeeze(1) if not self.batched else y.transpose(0, 1) if self.swapped else y
        return y.squeeze(0) if self.one_step else y


class Packed:
    """A ``PackedSequence``; states are in the caller's order, rows in the order of falling length."""

    def __init__(self, x: Tensor, network: Network) -> None:
        """Its rows as they are."""
        assert isinstance(network.sequences, PackedRows)
        self.batch_sizes, self.order, self.back, _ = network.sequences
        self.x, self.B, self.batch_first = x, sequences_of(network.sequences), network.batch_first
        self.has_empty = bool(len(self.batch_sizes)) and int(self.batch_sizes[0]) < self.B

    def rows(self, value: Tensor) -> Tensor:
        """(T, B) in the caller's order, (B, T) with ``batch_first``, as rows (R,); rows as they are."""
        if value.ndim == 1:
            return value
        steps = value.t() if self.batch_first else value
        steps = steps if self.order is None else steps.index_select(1, self.order)
        return torch.cat([step[:n] for step, n in zip(steps, self.batch_sizes.tolist(), strict=True)])

    def state_rows(self, part: Tensor) -> Tensor:
        """Sorted by falling length."""
        return part if self.order is None else part.index_select(1, self.order)

    def state(self, part: Tensor) -> Tensor:
        """In the caller's order."""
        return part if self.back is None else part.index_select(1, self.back)

    def output(self, y: Tensor) -> Any:
        """The rows; who has the PackedSequence makes one of them."""
        return y


class Padded:
    """A padded batch and each sequence's length, in any order; what lies beyond a length is not read."""

    def __init__(self, x: Tensor, network: Network) -> None:
        """Only the rows within the lengths, sorted by falling length."""
        batch_first = network.batch_first
        T, B = (x.shape[1], x.shape[0]) if batch_first else (x.shape[0], x.shape[1])
        ordered, order = torch.tensor(network.sequences, dtype=torch.int64).sort(descending=True, stable=True)
        within = torch.arange(T)[:, None] < ordered  # (T, B): row-major, its true places are the packed rows
        t, b = within.nonzero(as_tuple=True)
        place = order[b] * T + t if batch_first else t * B + order[b]  # (R,) in the caller's memory
        self.batch_sizes = within.sum(1)[: int(ordered[0]) if B else 0]
        self.order, self.back, self.place = (i.to(x.device) for i in (order, order.argsort(), place))
        self.B, self.shape = B, x.shape[:2]
        self.has_empty = B > 0 and int(ordered[-1]) == 0
        self.x = self.rows(x)

    def rows(self, value: Tensor) -> Tensor:
        """(T, B, ...), or (B, T, ...) with ``batch_first``, as rows (R, ...)."""
        return value.flatten(0, 1).index_select(0, self.place)

    def state_rows(self, part: Tensor) -> Tensor:
        """Sorted by falling length."""
        return part.index_select(1, self.order)

    def state(self, part: Tensor) -> Tensor:
        """In the caller's order."""
        return part.index_select(1, self.back)

    def output(self, y: Tensor) -> Any:
        """Padded as the input was, with zeros beyond each length."""
        padded = y.new_zeros(self.shape[0] * self.shape[1], y.shape[-1]).index_copy(0, self.place, y)
        return padded.view(*self.shape, y.shape[-1])


Layout = Dense | Packed | Padded


def layout_of(network: Network, x: Tensor) -> Layout:
    """That of the input ``x``, which fits; of a PackedSequence its rows."""
    if isinstance(network.sequences, PackedRows):
        return Packed(x, network)
    return Dense(x, network) if network.sequences is None else Padded(x, network)


def extent(network: Network, x: Tensor) -> tuple[tuple[int, ...], int]:
    """``((T, B), B)`` of dense rows, ``((R,), B)`` of packed ones."""
    if isinstance(network.sequences, PackedRows):
        return (x.shape[0],), sequences_of(network.sequences)
    batched = x.ndim - x.is_floating_point() == 2
    if network.sequences is not None:
        return (sum(network.sequences),), len(network.sequences)
    T, B = (
        (x.shape[0], 1) if not batched else (x.shape[1], x.shape[0]) if network.batch_first else x.shape[:2]
    )
    return (T, B), B


def sequences_of(rows: PackedRows) -> int:
    """B."""
    return int(rows.batch_sizes[0]) if rows.B is None else rows.B


def columns(network: Network) -> Tensor:
    """Which sequence each packed row (R,) is of, in the order of falling length."""
    own = network.sequences
    if isinstance(own, PackedRows):
        sizes = own.batch_sizes.tolist()
    else:
        lengths = torch.tensor(own, dtype=torch.int64)
        sizes = [int((lengths > t).sum()) for t in range(max(own or [0]))]
    return torch.cat([torch.arange(0), *(torch.arange(size) for size in sizes)])


def packed_as(x: Any) -> Callable[[Any], Any]:
    """Makes rows a PackedSequence where ``x`` is one."""
    if not isinstance(x, PackedSequence):
        return lambda rows: rows
    return lambda rows: PackedSequence(rows, x.batch_sizes, x.sorted_indices, x.unsorted_indices)


def sequences(x: Any, lengths: Any) -> list[int] | PackedRows | None:
    """How the sequences of an input lie, as ``Network`` has it."""
    if isinstance(x, PackedSequence):
        if lengths is not None:
            raise CallError("lengths is given with a PackedSequence, which has its own; expected None")
        return PackedRows(x.batch_sizes, x.sorted_indices, x.unsorted_indices)
    return None if lengths is None else lengths_of(lengths)
