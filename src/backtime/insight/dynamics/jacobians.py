"""The one-step Jacobian of a layer along its trajectory, and its singular values."""

from collections.abc import Iterator

import torch
from torch import Tensor

from backtime.insight.layers.levels import Level
from backtime.insight.steps.choice import step_of
from backtime.insight.steps.step import Step


def jacobian(level: Level, step: Step, s: int) -> Tensor:
    """d(state after step s) / d(state before it), (B, S, S); the state is h, or h and c of the LSTM: S is 2H.

    Row i is what a gradient at element i of the state after becomes at the state before.
    """
    widths = [part.shape[-1] for part in level.after]
    B, S = level.after[0].shape[1], sum(widths)
    rows = torch.eye(S, dtype=level.after[0].dtype, device=level.after[0].device).expand(B, S, S)
    parts = tuple(part.contiguous() for part in torch.split(rows, widths, -1))
    with torch.no_grad():
        before = step.back(s, step.enter(s, parts), False).before
    found = torch.cat(before, -1)
    return found if level.cut is None else found.masked_fill(level.cut[s][:, None, None], 0)


def jacobians(level: Level, first: int = 0, last: int | None = None) -> Iterator[Tensor]:
    """Those of the steps from ``first`` to ``last``, in the order of time."""
    step = step_of(level)
    for s in range(first, level.steps if last is None else last):
        yield jacobian(level, step, s)


def singular_values(level: Level, samples: int = 16) -> Tensor:
    """(n, S)  Of Jacobians evenly spaced in time, every sequence's: what one step can do to a gradient."""
    step = step_of(level)
    chosen = sorted({round(k * (level.steps - 1) / max(samples - 1, 1)) for k in range(samples)})
    found = torch.cat([torch.linalg.svdvals(jacobian(level, step, s).double()) for s in chosen])
    return found.cpu()
