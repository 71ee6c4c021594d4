"""The gradient by backpropagation through time, from ``backtime.reference``: what the paths must add up to.

It shares nothing with the graph but the network's numbers.
"""

import numpy as np

from backtime.insight.unfolded.graph import STATE, Wrt
from backtime.insight.unfolded.network import Network
from backtime.reference import layer, losses
from backtime.reference.weights import Array

LOSSES = {
    "squared-error": losses.linear_squared_error,
    "cross-entropy": losses.softmax_cross_entropy,
    "binary-cross-entropy": losses.sigmoid_binary_cross_entropy,
}


def gradient_by_backpropagation(network: Network, wrt: Wrt, at: int) -> Array:
    """dE/dwrt, in the shape of ``wrt``, of the loss at step ``at``."""
    y, tapes = network.x[:, None], []  # (T, 1, I)
    for weights, own in zip(network.layers, network.state or [], strict=True):
        state = tuple(part[None] for part in own)
        y, _, tape = layer.forward(network.cell, y, state, weights, **network.options)
        tapes.append(tape)
    _, head = LOSSES[network.loss](y[at - 1], network.Wy, network.by, network.target[None])  # type: ignore[operator]
    dy = np.zeros_like(y)
    dy[at - 1] = head.dh
    for number in range(len(tapes), wrt.layer - 1, -1):
        dx, dstate, dweights = layer.backward(tapes[number - 1], dy, None)
        assert dx is not None  # the input is no integers
        dy = dx
    found: Array
    if wrt.kind == "x":
        found = dy[(wrt.step or 1) - 1, 0]
    elif wrt.kind in ("h0", "c0"):
        found = dstate[STATE[network.cell].index(wrt.kind[0])][0]
    else:
        found = getattr(dweights, wrt.kind)
    return found
