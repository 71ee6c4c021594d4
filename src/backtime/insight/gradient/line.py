"""The share of a gradient that came on the straight line of cell or state: it never went through ``Wh``."""

import torch
from torch import Tensor

from backtime.insight.gradient.rows import Rows
from backtime.insight.steps.step import Step
from backtime.nn.types import States


class LineShare:
    """The mean share by lag of one level."""

    def __init__(self, level: int, step: Step, K: int) -> None:
        """K lags."""
        self.level, self.step = level, step
        self.total = torch.zeros(2, K, dtype=torch.float64)  # the sum of shares, and how many rows
        self.rest = torch.empty(0)

    def advance(
        self, s: int, rows: Rows, here: slice, lags: slice, entered: States, above: Tensor | None
    ) -> None:
        """What is new comes onto the line at step s, the share is taken, and the line goes one step back."""
        line = self._joined(s, rows, lags.start == 0)
        if line is None:
            return
        coming = None if above is None else self.step.line(s, (above,))
        if coming is not None:
            line += coming
        self._count(line, entered[-1], here, lags)
        line *= self.step.line_factor(s)

    def mean(self) -> Tensor | None:
        """(K,)  None where there is no line."""
        total, count = self.total
        return total / count.clamp(min=1) if count.any() else None

    def _joined(self, s: int, rows: Rows, joins: bool) -> Tensor | None:
        line = rows.lines[self.level]
        if joins:
            new = self.step.line(s, tuple(part[s].unsqueeze(1) for part in rows.inject[self.level]))
            if new is None:
                return None
            if line is None:
                line = rows.lines[self.level] = torch.zeros_like(rows.state[self.level][-1])
            line[:, s - rows.base] = new[:, 0]
        return line

    def _count(self, line: Tensor, whole: Tensor, here: slice, lags: slice) -> None:
        """|line|^2 / (|line|^2 + |rest|^2), where something is left."""
        if self.rest.shape != line.shape:
            self.rest = torch.empty_like(line)
        torch.sub(whole, line, out=self.rest)
        parts = line[:, here], self.rest[:, here]
        own, other = (torch.linalg.vector_norm(part, dim=-1).double().square() for part in parts)
        share = own / (own + other)  # (B, N)
        there = torch.isfinite(share)
        self.total[0, lags] += torch.where(there, share, 0).sum(0).cpu()
        self.total[1, lags] += there.sum(0).cpu()
