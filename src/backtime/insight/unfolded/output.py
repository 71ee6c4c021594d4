"""Output unit and loss of one step, and their two derivatives. docs/losses.md."""

from typing import NamedTuple

import numpy as np

from backtime.insight.unfolded.network import Network
from backtime.reference.activations import sigmoid
from backtime.reference.weights import Array


class Output(NamedTuple):
    """``dE_dy dy_dh`` is ``(y - t) Wy``."""

    y: Array  # (V,)
    E: float
    dE_dy: Array  # (V,)  # noqa: N815 - the alphabet's name
    dy_dh: Array  # (V, H)


def output_and_loss(network: Network, h: Array) -> Output:
    """The output unit that belongs to the network's loss, at ``h`` (H,) of the last layer."""
    units = {"squared-error": _linear, "cross-entropy": _softmax, "binary-cross-entropy": _sigmoid}
    return units[network.loss](network.Wy @ h + network.by, network.target, network.Wy)


def _linear(z: Array, t: Array, Wy: Array) -> Output:
    return Output(z, float(0.5 * ((z - t) ** 2).sum()), z - t, Wy)


def _softmax(z: Array, t: Array, Wy: Array) -> Output:
    z = z - z.max()  # softmax does not see a shift, and e^z cannot overflow
    e = np.exp(z)
    y = e / e.sum()
    dE_dy = np.where(np.arange(len(y)) == t, -1 / y[int(t)], 0)
    dy_dh = y[:, None] * (Wy - y @ Wy)  # (diag(y) - y^T y) Wy
    return Output(y, float(np.log(e.sum()) - z[int(t)]), dE_dy, dy_dh)


def _sigmoid(z: Array, t: Array, Wy: Array) -> Output:
    y, rest = sigmoid(z), sigmoid(-z)  # rest is 1 - y with all its digits
    E = (np.maximum(z, 0) - t * z + np.log1p(np.exp(-np.abs(z)))).sum()
    return Output(y, float(E), (1 - t) / rest - t / y, (y * rest)[:, None] * Wy)
