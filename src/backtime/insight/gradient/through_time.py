"""The gradient of every loss, taken back through time: one pass over the steps, all losses together.

A loss at step t sends ``dE_t/dh_s`` to every earlier step s. T separate backward passes would do
T (T + 1) / 2 steps, one by one. Here the loop goes over the steps s, from the last to the first: at step s
the gradients of all losses t >= s stand at the state h_s and take one step back in one product. What arrives
at a layer's input goes to the layer below, at the same step. The sum over losses is backpropagation through
time, so it must give the ordinary gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from backtime.insight.gradient.line import LineShare
from backtime.insight.gradient.norms import norms, within
from backtime.insight.gradient.rows import Rows
from backtime.insight.gradient.truncated import TruncatedSums
from backtime.insight.layers.levels import Gradients, Level
from backtime.insight.steps.choice import step_of
from backtime.insight.steps.step import Step
from backtime.nn.types import States


@dataclass
class Travelled:
    """What was found in one stack of layers; ``log`` is natural, -inf where there is nothing."""

    log_norm: list[Tensor]  # for each level (K, N, B): log |dE_t/dh_{t-k}|, N losses; NaN where t - k < 0
    line_share: list[Tensor | None]  # for each level (K,): share that never went through this layer's Wh
    dots: list[Tensor | None]  # for each level (K, F): <g_k, G> of each weight, g_k what lag k adds to G
    truncated: list[TruncatedSums | None]  # for each level: the gradient cut off at some lags
    dx: Tensor | None  # (T, B, I)  sum over all losses, at the input of the lowest level
    first: int  # the first step that has a loss: loss n of N is at step first + n


@torch.no_grad()
def travel(
    levels: list[Level],
    inject: list[States],
    full: list[Gradients] | None = None,
    lags: int | None = None,
    need_dx: bool = False,
) -> Travelled:
    """Take the gradients in ``inject``, for each level (dh,) or (dh, dc), (T, B, .), back through time.

    ``full`` are the whole gradients of each level's weights: with them the contributions of the lags are
    measured. ``lags`` is how many there are at most (T).
    """
    return _Journey(levels, inject, full, lags, need_dx).run()


class _Journey:
    def __init__(
        self,
        levels: list[Level],
        inject: list[States],
        full: list[Gradients] | None,
        lags: int | None,
        need_dx: bool,
    ) -> None:
        self.levels, self.need_dx = levels, need_dx
        self.steps: list[Step] = [step_of(level) for level in levels]
        self.first, self.last = _with_losses(inject, levels[0].steps)
        self.K = min(lags or self.last + 1, self.last + 1)
        self.rows = Rows(inject, self.first, self.last)
        N, B, like = self.last + 1 - self.first, inject[0][0].shape[1], self.rows.log_scale
        self.log_norm = [like.new_full((self.K, N, B), torch.nan) for _ in levels]
        self.lines = [LineShare(n, step, self.K) for n, step in enumerate(self.steps)]
        self.dots = [like.new_zeros(self.K, len(step.fields)) for step in self.steps]
        self.sums: list[TruncatedSums | None] = [None] * len(levels)
        if full is not None:
            for n, (step, own) in enumerate(zip(self.steps, full, strict=True)):
                step.aim(own)
                self.sums[n] = TruncatedSums(step, own, self.K)
        self.dx = inject[0][0].new_zeros(*levels[0].x.shape) if need_dx else None

    def run(self) -> Travelled:
        for s in range(self.last, -1, -1):
            here = self.rows.stand(s, self.K)
            if here is not None:
                self._step(s, here)
        for own in self.sums:
            if own is not None:
                own.flush()
        shares = [line.mean() for line in self.lines]
        dots = [own if self.sums[0] is not None else None for own in self.dots]
        return Travelled(self.log_norm, shares, dots, self.sums, self.dx, self.first)

    def _step(self, s: int, here: slice) -> None:
        """The losses in the rows ``here`` stand at the state after step s; one step back."""
        sizes = self._sizes(here)
        scale = self.rows.scale()
        above: Tensor | None = None
        for n in reversed(range(len(self.levels))):
            above = self._level(n, s, here, above, sizes[n], scale)
        if self.dx is not None and above is not None:
            self.dx[s] = (above if scale is None else above * scale[..., None]).sum(1)

    def _sizes(self, here: slice) -> list[Tensor]:
        """For each level |dh| (B, N), after rows that have grown or shrunk too far were rescaled."""
        found = [norms(own[0][:, here]) for own in self.rows.state]
        if all(
            step.steady and within(size, or_zero=False) for step, size in zip(self.steps, found, strict=True)
        ):
            return found
        others = [norms(part[:, here]) for own in self.rows.state for part in own[1:]]
        largest = torch.stack([*found, *others]).amax(0)
        if within(largest, or_zero=True):
            return found
        self.rows.rescale(here, largest)
        return [norms(own[0][:, here]) for own in self.rows.state]

    def _level(
        self, n: int, s: int, here: slice, above: Tensor | None, sizes: Tensor, scale: Tensor | None
    ) -> Tensor | None:
        """One level at one step; returns what arrives at the level below."""
        step, state, low = self.steps[n], self.rows.state[n], here.start + self.rows.base
        lags = slice(low - s, low - s + sizes.shape[1])
        if above is not None:
            state[0].add_(above)
            sizes = norms(state[0][:, here])
        _diagonal(self.log_norm[n], lags.start, low - self.first, sizes.shape[1]).copy_(
            (sizes.log() + self.rows.log_scale[:, here]).T
        )
        entered = step.enter(s, state)
        self.lines[n].advance(s, self.rows, here, lags, entered, above)
        if (sums := self.sums[n]) is not None:
            sums.add(
                s, tuple(part[:, here] for part in entered), scale if scale is None else scale[:, here], lags
            )
        taken = step.back(s, entered, n > 0 or self.need_dx)
        if taken.dots is not None:
            dots = taken.dots if scale is None else taken.dots * scale[..., None]
            self.dots[n][lags] += dots[:, here].sum(0, dtype=torch.float64)
        self.rows.state[n] = taken.before
        self._cut(n, s)
        return taken.dx

    def _cut(self, n: int, s: int) -> None:
        """Nothing goes back beyond the beginning of a sequence."""
        cut, line = self.levels[n].cut, self.rows.lines[n]
        if cut is not None:
            for part in (*self.rows.state[n], *([] if line is None else [line])):
                part.masked_fill_(cut[s][:, None, None], 0)


def _diagonal(log_norm: Tensor, lag: int, loss: int, count: int) -> Tensor:
    """(count, B)  Of (K, N, B) what one step is told: the next loss is one lag further."""
    _, N, B = log_norm.shape
    return log_norm.as_strided((count, B), (N * B + B, 1), (lag * N + loss) * B)


def _with_losses(inject: list[States], T: int) -> tuple[int, int]:
    """The first and the last step at which a loss sends something back."""
    some = torch.zeros(T, dtype=torch.bool, device=inject[0][0].device)
    for own in inject:
        for part in own:
            some |= (part != 0).flatten(1).any(1)
    steps = some.nonzero().flatten().tolist()
    return (steps[0], steps[-1]) if steps else (0, T - 1)
