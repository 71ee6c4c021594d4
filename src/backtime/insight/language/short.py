"""The short form of a flow, for a line of a training log: cheap, and without effect on the run."""

from typing import Any

import torch
from torch import Tensor

from backtime.insight.language.reading import tokens_flow
from backtime.insight.verdict.figures import growth
from backtime.insight.verdict.rules import judge

SEQUENCES, STEPS = 1, 40  # what keeps it under three steps of training, for H from 128 to 256


def short_form(model: Any, tokens: Tensor, targets: Tensor) -> dict[str, float | str | None]:
    """Of a language model on ``tokens`` and ``targets`` (T, B): what is left of the gradient, by lag.

    - ``flow_half``, ``flow_percent``: the lag by which the gradient of the layer that reaches furthest has
      fallen to half and to 1 %; the largest lag that was looked at, where it has not
    - ``flow_growth``: the most that the gradient grows above its size at lag 0, as a factor
    - ``flow_verdict``: one line

    The last 40 steps are looked at. No parameter's ``grad`` and no random state is touched.
    """
    with torch.random.fork_rng(devices=[]):
        found = tokens_flow(model, tokens[-STEPS:], targets[-STEPS:], contributions=False)
    most = found.lags - 1
    half = [most if level.half is None else level.half for level in found.levels]
    percent = [most if level.percent is None else level.percent for level in found.levels]
    rise = max(growth(level)[0] for level in found.levels)
    return {
        "flow_half": float(max(half)),
        "flow_percent": float(max(percent)),
        "flow_growth": float(f"{10.0 ** min(max(rise, 0.0), 300):.4g}"),
        "flow_verdict": judge(found).line,
    }
