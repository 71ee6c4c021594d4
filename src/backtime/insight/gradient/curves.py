"""From the norm of every gradient to what is told by lag: means, quantiles, a map; in powers of ten.

Norms may be far beyond what a float holds: means are taken of logarithms, each with its largest taken out.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from backtime.insight.measures import QUANTILES, Floats

LOG10 = float(np.log(10.0))


class Curves(NamedTuple):
    """As in ``LevelFlow``."""

    log_mean: Floats  # (K,)
    log_quantiles: Floats  # (5, K)
    log_relative: Floats  # (K,)
    map: Floats  # (K, N)


def by_lag(log_norm: Tensor, sent: Tensor) -> Curves:
    """``log_norm`` (K, N, B), natural, NaN before the start; ``sent`` (N, B): whether there is a loss."""
    logs = log_norm.masked_fill(~sent, torch.nan)
    sequences = sent.sum(1).double()  # (N,)
    each = _log_mean(log_norm.masked_fill(~sent, -torch.inf), sent.double())  # (K, N)
    mean = _log_mean_of_losses(each, sequences)
    start = _log_mean_of_losses(torch.where(each.isnan(), torch.nan, each[:1]), sequences)
    relative = torch.where(mean == -torch.inf, mean, mean - start)
    shown = [own.div(LOG10).cpu().numpy() for own in (mean, relative, each, logs)]
    return Curves(shown[0], _quantiles(shown[3]), shown[1], shown[2])


def _log_mean_of_losses(each: Tensor, weights: Tensor) -> Tensor:
    """(K,)  Over the losses (K, N) that have this lag."""
    there = ~each.isnan()
    return _log_mean(each.masked_fill(~there, -torch.inf), weights * there)


def _log_mean(logs: Tensor, weights: Tensor) -> Tensor:
    """The logarithm of the weighted mean of exp(logs) over the last axis; NaN where nothing has weight."""
    top = logs.amax(-1, keepdim=True)
    top = torch.where(top.isfinite(), top, 0)
    total = ((logs - top).exp_() * weights).sum(-1)
    return (total / weights.sum(-1)).log() + top[..., 0]


def _quantiles(logs: Floats) -> Floats:
    """(5, K): nearest-rank quantiles, which keep -inf apart from NaN."""
    found = np.full((len(QUANTILES), len(logs)), np.nan)
    for k, own in enumerate(logs):
        values = np.sort(own[~np.isnan(own)])
        if values.size:
            ranks = [min(int(q * values.size), values.size - 1) for q in QUANTILES]
            found[:, k] = values[ranks]
    return found
