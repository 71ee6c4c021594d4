"""Singular values and Lyapunov exponents of every level of a flow, at a bounded cost."""

from typing import Any

import numpy as np

from backtime.insight.dynamics.exponents import lyapunov
from backtime.insight.dynamics.jacobians import jacobians, singular_values
from backtime.insight.layers.levels import Level
from backtime.insight.measures import Spectrum

EXPONENTS, SEQUENCES, STEPS, SKIP = 16, 2, 96, 8


def spectrum(level: Level) -> Spectrum:
    """From the first sequences and steps: enough to see what kind of layer it is."""
    some = _cut(level)
    values = singular_values(some, 8).numpy()
    skip = min(SKIP, some.steps - 1)
    found = lyapunov(jacobians(some), EXPONENTS, skip).mean(0).cpu().numpy()
    return Spectrum(level.name, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]), found)


def _cut(level: Level) -> Level:
    def first(part: Any) -> Any:
        return None if part is None else part[:STEPS, :SEQUENCES]

    return level._replace(
        x=first(level.x),
        before=tuple(map(first, level.before)),
        after=tuple(map(first, level.after)),
        gates={name: first(gate) for name, gate in level.gates.items()},
        valid=first(level.valid),
        cut=first(level.cut),
    )
