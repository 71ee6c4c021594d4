"""The gradient of a layer's weights when backpropagation through time is truncated, at a grid of lengths."""

import torch
from torch import Tensor

from backtime.insight.layers.levels import Gradients
from backtime.insight.steps.step import Step
from backtime.nn.types import States

BLOCK = 16  # steps whose sums go to the weights in one product


def grid(K: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12 ... below K, and K."""
    halves = [n for p in range(1, K.bit_length() + 1) for n in (2**p, 3 * 2 ** (p - 1))]
    return [*sorted({n for n in [1, *halves] if n < K}), K]


class TruncatedSums:
    """Sums of lags for every length n of the grid.

    Where every loss goes back n steps lag j counts if j < n; where the text is cut into chunks of n steps, it
    counts for the share 1 - j/n of the losses, the mean over where the borders fall. Both are linear in the
    gradients that stand at a step, so these are summed first, and the sums go to the weights.
    """

    def __init__(self, step: Step, full: Gradients, K: int) -> None:
        """``full`` are the whole gradients G."""
        self.step, self.full, self.lengths = step, full, grid(K)
        like = next(iter(full.values()))
        lag = torch.arange(K, device=like.device, dtype=like.dtype)
        n = torch.tensor(self.lengths, device=like.device, dtype=like.dtype)[:, None]
        chunk = (1 - lag / n).clamp(min=0)
        self.weights = torch.cat([(lag < n).to(like.dtype), chunk])  # (M, K), M twice the grid
        self.total = {name: value.new_zeros(len(self.weights), *value.shape) for name, value in full.items()}
        self.held: States = ()  # parts (BLOCK, B, M, .), filled from the end
        self.lowest, self.count = 0, 0

    def add(self, s: int, entered: States, scale: Tensor | None, lags: slice) -> None:
        """The gradients at step s, parts (B, N, .), whose lags are ``lags``."""
        B, M = len(entered[0]), len(self.weights)
        if not self.held:
            self.held = tuple(part.new_empty(BLOCK, B, M, part.shape[2]) for part in entered)
        weights = self.weights[:, lags].expand(B, -1, -1)  # (B, M, N)
        if scale is not None:
            weights = weights * scale.unsqueeze(1)
        self.lowest, self.count = s, self.count + 1
        for held, part in zip(self.held, entered, strict=True):
            torch.bmm(weights, part, out=held[-self.count])
        if self.count == BLOCK:
            self.flush()

    def flush(self) -> None:
        """What is held goes to the weights."""
        if self.count:
            steps = slice(self.lowest, self.lowest + self.count)
            self.step.to_weights(steps, tuple(held[-self.count :] for held in self.held), self.total)
            self.count = 0

    def products(self, name: str) -> tuple[Tensor, Tensor]:
        """<., G> and |.| of each sum, float64 (M,): first the grid cut off, then the grid of chunks."""
        flat, whole = self.total[name].flatten(1).double(), self.full[name].flatten().double()
        return flat @ whole, flat.norm(dim=1)

    def gap(self, name: str) -> float:
        """|sum over all lags - G|."""
        every = self.total[name][len(self.lengths) - 1]  # the grid's last length leaves nothing out
        return float((every.double() - self.full[name].double()).norm())
