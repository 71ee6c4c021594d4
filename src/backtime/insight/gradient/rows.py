"""The gradients of all losses on their way back: which loss stands where, and in which scale.

Gradients may shrink or grow by any factor: each row (sequence, loss) has a scale of its own, a logarithm.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from backtime.nn.types import States

BLOCK = 16  # rows that are made room for at once
TINY = 1e-37  # the least that float32 divides by
NEGLIGIBLE = 1e-30  # a row scaled by less adds nothing to a weight's gradient but denormal numbers


class Rows:
    """Row r of a part, (B, C, .), is the loss at step ``base + r``; rows without a loss are zero.

    The loops write into the parts, so that nothing is copied as losses join and leave.
    """

    def __init__(self, inject: list[States], first: int, last: int) -> None:
        """``inject``: for each level what the loss sends into (h,) or (h, c), (T, B, .)."""
        self.inject, self.first, self.last = inject, first, last
        self.base = last + 1
        self.state: list[States] = [
            tuple(part.new_zeros(part.shape[1], 0, part.shape[2]) for part in own) for own in inject
        ]
        self.lines: list[Tensor | None] = [None] * len(inject)
        like = self.state[0][0]
        self.log_scale = torch.zeros(like.shape[:2], dtype=torch.float64, device=like.device)
        self.scaled = False

    def stand(self, s: int, K: int) -> slice | None:
        """The losses whose gradient stands at step s, at most K - 1 steps away: their rows; None if none."""
        if s >= self.first:
            self._join(s)
        low, high = max(self.first, s), min(self.last, s + K - 1)
        if high < low:
            return None
        if high < self.last:
            self._leave(high + 1 - self.base)
        return slice(low - self.base, high + 1 - self.base)

    def scale(self) -> Tensor | None:
        """What each row's gradient stands for, (B, C); None where nothing was rescaled yet."""
        if not self.scaled:
            return None
        scale = self.log_scale.exp()
        return torch.where(scale < NEGLIGIBLE, 0, scale).to(self.state[0][0].dtype)

    def rescale(self, here: slice, sizes: Tensor) -> None:
        """Bring rows whose norms are ``sizes`` (B, N) back to norm 1."""
        usable = torch.isfinite(sizes) & (sizes > 0)
        factor = torch.where(usable, sizes.clamp(TINY, 1 / TINY), 1)
        self.log_scale[:, here] += factor.log()
        self.scaled = True
        for part in self._parts():
            part[:, here].div_(factor[..., None].to(part.dtype))

    def _parts(self) -> list[Tensor]:
        return [part for own in self.state for part in own] + [own for own in self.lines if own is not None]

    def _join(self, s: int) -> None:
        """The loss of this step, in front."""
        if s < self.base:
            count = min(BLOCK, self.base - self.first)
            self._change(lambda part: torch.nn.functional.pad(part, (*[0, 0] * (part.ndim - 2), count, 0)))
            self.base -= count
        for own, inject in zip(self.state, self.inject, strict=True):
            for part, new in zip(own, inject, strict=True):
                part[:, s - self.base] = new[s]

    def _leave(self, row: int) -> None:
        """The rows from this one on, further away than asked for."""
        for part in self._parts():
            part[:, row:] = 0
        if self.log_scale.shape[1] - row >= BLOCK:
            self._change(lambda part: part[:, :row].contiguous())

    def _change(self, change: Callable[[Tensor], Tensor]) -> None:
        self.state = [tuple(change(part) for part in own) for own in self.state]
        self.lines = [None if own is None else change(own) for own in self.lines]
        self.log_scale = change(self.log_scale)
