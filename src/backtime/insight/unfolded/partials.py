"""Every partial derivative of the unfolded network, as a number. docs/gradient-through-time.md.

Vectors are rows and dE/du is a row, so a path is multiplied from the left: dE/dy dy/dh dh/dh ... Entry [k, m]
of du/dw is the change of u_k with w_m. The derivative of a gate by a weight matrix has three indices; it is
kept as the two vectors that it consists of.
"""

from typing import NamedTuple

import numpy as np

from backtime.insight.unfolded.graph import CELLS, STATE, Node
from backtime.insight.unfolded.network import Network
from backtime.insight.unfolded.output import output_and_loss
from backtime.reference.activations import activation, d_sigmoid, d_tanh
from backtime.reference.dense import CELLS as REFERENCE
from backtime.reference.weights import Array

# What a step of the reference returns beside the state; ``m`` is Wh_n h + bh_n, or r h.
WITHIN = {"rnn": (), "gru": ("r", "z", "n", "m"), "lstm": ("i", "f", "g", "o")}


class Partial(NamedTuple):
    """``diag(left) W diag(right)``; None stands for the identity."""

    left: Array | None = None  # (n,)
    W: Array | None = None  # (n, m)
    right: Array | None = None  # (m,)

    def back(self, v: Array) -> Array:
        """``v`` (n,) times this: (m,)."""
        v = v if self.left is None else v * self.left
        v = v if self.W is None else v @ self.W
        return v if self.right is None else v * self.right

    def matrix(self) -> Array:
        """The Jacobian (n, m)."""
        ones = next(len(a) for a in (self.left, self.W, self.right) if a is not None)
        return np.stack([self.back(row) for row in np.eye(ones)])


class Use(NamedTuple):
    """The derivative of a gate by its rows of a weight: ``d gate_k / d W[k, m] = slope[k] met[m]``."""

    slope: Array  # (H,)
    met: Array | None  # (m,)  what the weight is multiplied with; None for a bias

    def matrix(self) -> Array:
        """(H, m) or (H,): row k is the derivative of unit k by its own row of the weight."""
        return self.slope if self.met is None else np.outer(self.slope, self.met)


class Values:
    """What the forward pass computes at every node, and from it every partial derivative."""

    def __init__(self, network: Network, at: int) -> None:
        """Run the network up to the loss at step ``at``."""
        self.network = network
        self._found: dict[Node, Array] = {}
        self._run(at)
        h = self[Node("h", len(network.layers), at)]
        self._output = output_and_loss(network, h)
        self._found |= {Node("y", 0, at): self._output.y, Node("E", 0, at): np.array([self._output.E])}

    def __getitem__(self, node: Node) -> Array:
        """The value of a node."""
        return self._found[node]

    def _run(self, at: int) -> None:
        network, found = self.network, self._found
        step = REFERENCE[network.cell].step
        for t in range(1, at + 1):
            found[Node("x", 0, t)] = network.x[t - 1]
        for layer, (weights, own) in enumerate(zip(network.layers, network.state or [], strict=True), 1):
            state = tuple(part[None] for part in own)
            found |= {Node(s, layer, 0): a for s, a in zip(STATE[network.cell], own, strict=True)}
            for t in range(1, at + 1):
                below = found[self.below(layer, t)][None]
                state, *inner = step(below, state, weights, **network.options)
                found |= {Node(s, layer, t): a[0] for s, a in zip(STATE[network.cell], state, strict=True)}
                names = WITHIN[network.cell]
                found |= {Node(s, layer, t): a[0] for s, a in zip(names, inner, strict=False)}

    def below(self, layer: int, t: int) -> Node:
        """What a layer reads at step ``t``."""
        return Node("h", layer - 1, t) if layer > 1 else Node("x", 0, t)

    def partial(self, node: Node, source: Node) -> Partial:
        """d node / d source, an edge of the graph that is not the use of a weight."""
        if node.letter == "E":
            return Partial(W=self._output.dE_dy[None])
        if node.letter == "y":
            return Partial(W=self._output.dy_dh)
        if node.letter in CELLS[self.network.cell].gates and source.letter in ("h", "x"):
            if source == Node("h", node.layer, node.step - 1):
                return Partial(*self._through_Wh(node))
            return Partial(self._slope(node), self._rows("Wx", node))
        return self._in_lstm(node, source) if self.network.cell == "lstm" else self._in_gru(node, source)

    def use(self, node: Node, kind: str) -> Use:
        """d node / d weight: ``node`` is a gate, ``kind`` Wx, Wh, bx or bh."""
        if kind in ("Wx", "bx"):
            return Use(self._slope(node), self[self.below(node.layer, node.step)] if kind == "Wx" else None)
        slope, _, scale = self._through_Wh(node)
        before = self._before("h", node)
        met = before if scale is None else scale * before
        return Use(slope, met if kind == "Wh" else None)

    def rows(self, node: Node) -> slice:
        """The rows of the stacked weights that belong to a gate."""
        H = self.network.layers[node.layer - 1].Wh.shape[1]
        gate = CELLS[self.network.cell].gates.index(node.letter)
        return slice(gate * H, (gate + 1) * H)

    def _rows(self, name: str, node: Node) -> Array:
        weight: Array = getattr(self.network.layers[node.layer - 1], name)
        return weight[self.rows(node)]

    def _before(self, letter: str, node: Node) -> Array:
        return self[Node(letter, node.layer, node.step - 1)]

    def _inner(self, letter: str, node: Node) -> Array:
        return self[Node(letter, node.layer, node.step)]

    def _slope(self, node: Node) -> Array:
        """The derivative of a gate by its pre-activation, from the gate itself."""
        value = self[node]
        if self.network.cell == "rnn":
            return activation(self.network.options.get("activation", "tanh")).df(value)
        return d_tanh(value) if node.letter in "gn" else d_sigmoid(value)

    def _through_Wh(self, node: Node) -> tuple[Array, Array, Array | None]:  # noqa: N802 - the alphabet's name
        """From a gate to h_{t-1}: left, W and right of the partial derivative."""
        slope, Wh = self._slope(node), self._rows("Wh", node)
        if node.letter != "n":
            return slope, Wh, None
        r = self._inner("r", node)
        if self.network.options.get("reset_after", True):  # n = tanh(.. + r * (Wh_n h + bh_n))
            return slope * r, Wh, None
        return slope, Wh, r  # n = tanh(.. + Wh_n (r * h) + bh_n)

    def _in_lstm(self, node: Node, source: Node) -> Partial:
        tanh_c = np.tanh(self._inner("c", node))
        if source == Node("c", node.layer, node.step - 1):
            return Partial(self._inner("f", node))
        if node.letter == "h":  # h = o * tanh(c)
            return Partial(tanh_c if source.letter == "o" else self._inner("o", node) * d_tanh(tanh_c))
        other = {"i": "g", "g": "i"}.get(source.letter)  # c = f * c_{t-1} + i * g
        return Partial(self._inner(other, node) if other else self._before("c", node))

    def _in_gru(self, node: Node, source: Node) -> Partial:
        z, before = self._inner("z", node), self._before("h", node)
        if node.letter == "n":  # from n to r
            if self.network.options.get("reset_after", True):
                return Partial(self._slope(node) * self._inner("m", node))
            return Partial(self._slope(node), self._rows("Wh", node), before)
        if source.letter == "h":  # h = (1 - z) * n + z * h_{t-1}
            return Partial(z)
        return Partial(1 - z if source.letter == "n" else before - self._inner("n", node))
