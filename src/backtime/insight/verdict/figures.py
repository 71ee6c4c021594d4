"""The figures of a flow that the rules read."""

import numpy as np

from backtime.insight.measures import Flow, LevelFlow

ENOUGH = 0.99  # the cosine that a recommended sequence length reaches
OPEN_IS_WELL = {"lstm": "f", "gru": "z"}  # gates whose open end is how the cell remembers


def growth(level: LevelFlow) -> tuple[float, int]:
    """The most decades that the gradient rises above its start, and the lag where."""
    values = np.nan_to_num(level.log_relative, nan=0.0, neginf=-np.inf, posinf=np.inf)
    lag = int(values.argmax())
    return float(values[lag]), lag


def saturation(level: LevelFlow) -> float:
    """Share of units and steps at the flat ends of the gates; an open forget gate is none."""
    shares = []
    for name, gate in level.gates.items():
        well = OPEN_IS_WELL.get(level.cell) == name
        shares.append(float(gate.closed.mean()) if well else gate.saturated)
    return float(np.mean(shares)) if shares and not is_relu(level) else 0.0


def reach(flow: Flow) -> list[int]:
    """How many steps back 1 % of each level's gradient is left; all that were looked at, where it is."""
    return [flow.lags if level.percent is None else level.percent for level in flow.levels]


def recommended(flow: Flow) -> int | None:
    """The shortest ``--seq-length`` of the grid that keeps the gradient's direction; None if none does."""
    if flow.truncation is None:
        return None
    own = flow.truncation
    well = [n for n, cosine in zip(own.lengths, own.chunk_cosine, strict=True) if cosine >= ENOUGH]
    return well[0] if well else None


def is_relu(level: LevelFlow) -> bool:
    """Its flat end is how it works."""
    return level.cell == "rnn" and level.activation == "relu"
