"""How gates and units are used: saturation, and units that never move."""

import numpy as np
from torch import Tensor

from backtime.insight.layers.levels import Level
from backtime.insight.measures import Floats, Gate

SIGMOIDS = {"lstm": "ifo", "gru": "rz"}
TANHS = {"lstm": "g", "gru": "n"}
SIGMOID_ENDS, TANH_ENDS = (0.01, 0.99), (-0.98, 0.98)  # slopes of 4 % of the largest
STILL = 1e-3  # of the largest |h| of the layer: a unit whose range is below it never moves


def gate_use(level: Level) -> dict[str, Gate]:
    """By the gate's letter; of the rnn ``h``, its only nonlinearity."""
    if level.cell == "rnn":
        return _state_use(level)
    found = {name: _use(level.gates[name], SIGMOID_ENDS, level) for name in SIGMOIDS.get(level.cell, "")}
    return found | {name: _use(level.gates[name], TANH_ENDS, level) for name in TANHS.get(level.cell, "")}


def unit_range(level: Level) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Largest minus smallest h of each unit (P,), and whether that is so little that it never moves."""
    rows = _rows(level.after[0], level)
    if not len(rows):
        return np.zeros(rows.shape[1]), np.ones(rows.shape[1], bool)
    span = rows.max(0) - rows.min(0)
    return span, span <= STILL * np.abs(rows).max()


def _state_use(level: Level) -> dict[str, Gate]:
    activation = level.options.get("activation", "tanh")
    h = level.after[0]
    if activation == "identity":
        return {}
    if activation == "relu":
        rows = _rows(level.gates["z"], level)
        return {"h": Gate((rows <= 0).mean(0), np.zeros(rows.shape[1]))}
    return {"h": _use(h, TANH_ENDS if activation == "tanh" else SIGMOID_ENDS, level)}


def _use(gate: Tensor, ends: tuple[float, float], level: Level) -> Gate:
    rows = _rows(gate, level)
    return Gate((rows < ends[0]).mean(0), (rows > ends[1]).mean(0))


def _rows(values: Tensor, level: Level) -> Floats:
    """The steps that are there, (R, H)."""
    rows = values.flatten(0, 1) if level.valid is None else values[level.valid]
    return rows.double().cpu().numpy()
