"""How sequences lie in the caller's tensors, and how they lie in rows for a layer: there and back.

A frame turns the input into time-major rows, (T, B, I) or packed (R, I), brings states (L, B, ...) into the
order of the rows, and turns outputs and last states back into the caller's form.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from backtime.nn.check import CallError


class Dense:
    """(T, B, I), (B, T, I) with ``batch_first``, or (T, I) for a single sequence."""

    batch_sizes: Tensor | None = None

    def __init__(self, x: Tensor, batch_first: bool, batched: bool) -> None:
        """Time-major, with a batch axis."""
        self.batched, self.swapped = batched, batch_first and batched
        self.x = x.unsqueeze(1) if not batched else x.transpose(0, 1) if batch_first else x
        self.B = self.x.shape[1]

    def enter_state(self, part: Tensor) -> Tensor:
        """(L, B, H) from (L, B, H), or from (L, H) of a single sequence."""
        return part if self.batched else part.unsqueeze(1)

    def leave_state(self, part: Tensor) -> Tensor:
        """The reverse of ``enter_state``."""
        return part if self.batched else part.squeeze(1)

    def rows(self, value: Tensor) -> Tensor:
        """A value for every step, shaped as the input is without I, as rows."""
        return value.unsqueeze(1) if not self.batched else value.transpose(0, 1) if self.swapped else value

    def leave(self, y: Tensor) -> Any:
        """The output in the form of the input."""
        return y.squeeze(1) if not self.batched else y.transpose(0, 1) if self.swapped else y


class Packed:
    """A ``PackedSequence``; states are in the caller's order, rows in the order of falling length."""

    def __init__(self, packed: PackedSequence, batch_first: bool) -> None:
        """Its rows as they are."""
        self.x, self.batch_sizes, self.order, self.back = packed
        self.B, self.batch_first = int(self.batch_sizes[0]), batch_first

    def enter_state(self, part: Tensor) -> Tensor:
        """Sorted by falling length."""
        return part if self.order is None else part.index_select(1, self.order)

    def leave_state(self, part: Tensor) -> Tensor:
        """In the caller's order."""
        return part if self.back is None else part.index_select(1, self.back)

    def rows(self, value: Tensor) -> Tensor:
        """(T, B) in the caller's order, (B, T) with ``batch_first``, as rows (R,)."""
        steps = value.t() if self.batch_first else value
        steps = steps if self.order is None else steps.index_select(1, self.order)
        return torch.cat([step[:n] for step, n in zip(steps, self.batch_sizes.tolist(), strict=True)])

    def leave(self, y: Tensor) -> Any:
        """Packed as the input was."""
        return PackedSequence(y, self.batch_sizes, self.order, self.back)


class Ragged:
    """A padded batch and each sequence's length, in any order; what lies beyond a length is not read."""

    def __init__(self, x: Tensor, batch_first: bool, lengths: Any) -> None:
        """Only the rows within the lengths, sorted by falling length."""
        T, B = (x.shape[1], x.shape[0]) if batch_first else (x.shape[0], x.shape[1])
        found = _lengths(lengths, T, B)
        ordered, order = found.sort(descending=True, stable=True)
        within = torch.arange(T)[:, None] < ordered  # (T, B): row-major, its true places are the packed rows
        t, b = within.nonzero(as_tuple=True)
        place = order[b] * T + t if batch_first else t * B + order[b]  # (R,) in the caller's memory
        self.batch_sizes = within.sum(1)[: int(ordered[0]) if B else 0]
        self.order, self.back, self.place = (i.to(x.device) for i in (order, order.argsort(), place))
        self.B, self.shape = B, x.shape[:2]
        self.has_empty = B > 0 and int(ordered[-1]) == 0  # sequences that are in no row
        self.x = self.rows(x)

    def enter_state(self, part: Tensor) -> Tensor:
        """Sorted by falling length."""
        return part.index_select(1, self.order)

    def leave_state(self, part: Tensor) -> Tensor:
        """In the caller's order."""
        return part.index_select(1, self.back)

    def rows(self, value: Tensor) -> Tensor:
        """(T, B, ...), or (B, T, ...) with ``batch_first``, as rows (R, ...)."""
        return value.flatten(0, 1).index_select(0, self.place)

    def leave(self, y: Tensor) -> Any:
        """Padded as the input was, with zeros beyond each length."""
        padded = y.new_zeros(self.shape[0] * self.shape[1], y.shape[-1]).index_copy(0, self.place, y)
        return padded.view(*self.shape, y.shape[-1])


Frame = Dense | Packed | Ragged


def _lengths(lengths: Any, T: int, B: int) -> Tensor:
    """(B,) int64 on the CPU."""
    try:
        found = torch.as_tensor(lengths).cpu()
    except (TypeError, ValueError):
        raise CallError(f"lengths is {lengths!r}; expected {B} whole numbers") from None
    if found.shape != (B,) or found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise CallError(
            f"lengths is {found.dtype} of shape {tuple(found.shape)}; expected integers (B,) = ({B},)"
        )
    if B and (int(found.min()) < 0 or int(found.max()) > T):
        raise CallError(
            f"lengths has values from {int(found.min())} to {int(found.max())}; expected 0 to T = {T}"
        )
    return found.long()
