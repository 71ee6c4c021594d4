"""The gradient of every loss, taken back through time: one pass over the steps, all losses together.

A loss at step t sends ``dE_t/dh_s`` to every earlier step s. T separate backward passes would do
T (T + 1) / 2 steps, one by one. Here the loop goes over the steps s, from the last to the first: at step s
the gradients of all losses t >= s stand at the state h_s and take one step back in one product. What arrives
at a layer's input goes to the layer below, at the same step. The sum over losses is backpropagation through
time, so it must give the ordinary gradient.

Gradients may shrink or grow by any factor: each row (sequence, loss) has a scale of its own, a logarithm.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from backtime.insight.gradient.truncated import TruncatedSums
from backtime.insight.layers.levels import Level
from backtime.insight.steps.steps import Gradients, Step, step_of
from backtime.nn.types import States

SMALL, LARGE = 1e-6, 1e6  # norms beyond these are brought back to 1: squares stay far from float32's ends
SAFE = 1e-15  # norms between this and its inverse come out right in float32, squares and all
NEGLIGIBLE = 1e-30  # a row scaled by less adds nothing to a weight's gradient but denormal numbers


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
        self.levels, self.inject, self.need_dx = levels, inject, need_dx
        self.steps: list[Step] = [step_of(level) for level in levels]
        self.first, self.last = _with_losses(inject, levels[0].steps)
        self.K = min(lags or self.last + 1, self.last + 1)
        N, B = self.last + 1 - self.first, inject[0][0].shape[1]
        like = inject[0][0]
        self.state: list[States] = [
            tuple(part.new_zeros(B, 0, part.shape[2]) for part in own) for own in inject
        ]
        self.lines: list[Tensor | None] = [None] * len(levels)
        self.log_scale = torch.zeros(B, 0, dtype=torch.float64, device=like.device)
        self.log_norm = [self.log_scale.new_full((self.K, N, B), torch.nan) for _ in levels]
        self.shares = [self.log_scale.new_zeros(2, self.K) for _ in levels]  # sums, and how many rows
        self.dots = [self.log_scale.new_zeros(self.K, len(step.fields)) for step in self.steps]
        self.sums: list[TruncatedSums | None] = [None] * len(levels)
        if full is not None:
            for n, (step, own) in enumerate(zip(self.steps, full, strict=True)):
                step.aim(own)
                self.sums[n] = TruncatedSums(step, own, self.K)
        self.dx = like.new_zeros(*levels[0].x.shape) if need_dx else None

    def run(self) -> Travelled:
        for s in range(self.last, -1, -1):
            self._step(s)
        for own in self.sums:
            if own is not None:
                own.flush()
        shares = [None if not own[1].any() else own[0] / own[1].clamp(min=1) for own in self.shares]
        dots = [own if self.sums[0] is not None else None for own in self.dots]
        return Travelled(self.log_norm, shares, dots, self.sums, self.dx, self.first)

    def _step(self, s: int) -> None:
        """Row r of the state is the loss at step low + r, whose lag is low + r - s."""
        low, high = max(self.first, s), min(self.last, s + self.K - 1)  # the losses that stand at h_s
        if high < low:
            return
        self._begin(s, high + 1 - low)
        lags = slice(low - s, high + 1 - s)
        scale = self._scale()
        above: Tensor | None = None
        for n in reversed(range(len(self.levels))):
            above = self._level(n, s, (low, high), lags, above, scale)
        if self.dx is not None and above is not None:
            self.dx[s] = (above if scale is None else above * scale[..., None]).sum(1)
        self._rescale()

    def _begin(self, s: int, N: int) -> None:
        """The loss of this step joins in front; losses that are further away than K lags leave."""
        joins = self.first <= s
        if not joins:
            self.log_scale = self.log_scale[:, :N]
            self.state = [tuple(part[:, :N] for part in own) for own in self.state]
            return
        one = self.log_scale.new_zeros(len(self.log_scale), 1)
        self.log_scale = torch.cat([one, self.log_scale[:, : N - 1]], 1)
        for n, own in enumerate(self.inject):
            self.state[n] = tuple(
                torch.cat([part[s].unsqueeze(1), old[:, : N - 1]], 1)
                for part, old in zip(own, self.state[n], strict=True)
            )

    def _level(
        self, n: int, s: int, losses: tuple[int, int], lags: slice, above: Tensor | None, scale: Tensor | None
    ) -> Tensor | None:
        """One level at one step; returns what arrives at the level below."""
        step, (dh, *rest) = self.steps[n], self.state[n]
        if above is not None:
            dh = dh + above
        norms = _norms(dh).log() + self.log_scale  # (B, N)
        t = torch.arange(losses[0], losses[1] + 1, device=dh.device)
        self.log_norm[n][t - s, t - self.first] = norms.T
        entered = step.enter(s, (dh, *rest))
        self._advance_line(n, s, lags, entered, above)
        taken = step.back(s, entered, n > 0 or self.need_dx)
        if taken.dots is not None:
            rows = taken.dots if scale is None else taken.dots * scale[..., None]
            self.dots[n][lags] += rows.sum(0, dtype=torch.float64)
            self.sums[n].add(s, entered, scale, lags)  # type: ignore[union-attr]
        self.state[n] = tuple(self._cut(n, s, part) for part in taken.before)
        return taken.dx

    def _cut(self, n: int, s: int, part: Tensor) -> Tensor:
        """Nothing goes back beyond the beginning of a sequence."""
        cut = self.levels[n].cut
        return part if cut is None else part.masked_fill(cut[s][:, None, None], 0)

    def _advance_line(self, n: int, s: int, lags: slice, entered: States, above: Tensor | None) -> None:
        """The share that has never been through Wh; then one step down the line."""
        step, old = self.steps[n], self.lines[n]
        N = entered[0].shape[1]
        joins = lags.start == 0
        own = tuple(part[s].unsqueeze(1) for part in self.inject[n]) if joins else None
        new = step.line(s, own, None if above is None else above[:, :1]) if joins else None
        if new is None and old is None:
            return
        old = None if old is None else old[:, : N - joins]
        if old is not None and above is not None:
            coming = step.line(s, None, above[:, joins:])
            old = old if coming is None else old + coming
        line = torch.cat([part for part in (new, old) if part is not None], 1)
        share = _line_share(line, entered[-1] - line)  # (B, N)
        there = torch.isfinite(share)
        self.shares[n][0, lags] += torch.where(there, share, 0).sum(0)
        self.shares[n][1, lags] += there.sum(0)
        self.lines[n] = self._cut(n, s, line * step.line_factor(s))

    def _scale(self) -> Tensor | None:
        """What each row's gradient stands for, (B, N); None where nothing was rescaled yet."""
        if not self.log_scale.any():
            return None
        scale = self.log_scale.exp()
        return torch.where(scale < NEGLIGIBLE, 0, scale).to(self.state[0][0].dtype)

    def _rescale(self) -> None:
        """Bring rows back to norm 1 where one has left the middle of the number line."""
        largest = [part.abs().amax(-1) for own in self.state for part in own]  # the infinity norm is slower
        sizes = torch.stack(largest).amax(0)  # (B, N)
        if bool(((sizes < SMALL) & (sizes > 0) | (sizes > LARGE)).any()):
            usable = torch.isfinite(sizes) & (sizes > 0)
            factor = torch.where(usable, sizes, 1)
            self.log_scale = self.log_scale + factor.double().log()
            self.state = [tuple(part / factor[..., None] for part in own) for own in self.state]
            self.lines = [None if line is None else line / factor[..., None] for line in self.lines]


def _with_losses(inject: list[States], T: int) -> tuple[int, int]:
    """The first and the last step at which a loss sends something back."""
    some = torch.zeros(T, dtype=torch.bool, device=inject[0][0].device)
    for own in inject:
        for part in own:
            some |= (part != 0).flatten(1).any(1)
    steps = some.nonzero().flatten().tolist()
    return (steps[0], steps[-1]) if steps else (0, T - 1)


def _norms(rows: Tensor) -> Tensor:
    """Of the last axis, float64. Sums in the rows' own type are quicker, where no square leaves its range."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=-1)
    least, most = torch.aminmax(norms)
    if float(least) > SAFE and float(most) < 1 / SAFE:
        return norms.double()
    norms = torch.linalg.vector_norm(rows, dim=-1, dtype=torch.float64)
    return norms


def _line_share(line: Tensor, rest: Tensor) -> Tensor:
    """|line|^2 / (|line|^2 + |rest|^2); NaN where nothing is left."""
    own, other = (torch.linalg.vector_norm(part, dim=-1).double().square() for part in (line, rest))
    found: Tensor = own / (own + other)
    return found
