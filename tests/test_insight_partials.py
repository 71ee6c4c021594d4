"""Every factor of a path: the partial derivatives against finite differences of the equations."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from backtime.insight import Network
from backtime.insight.unfolded.graph import Graph, Node, Wrt
from backtime.insight.unfolded.network import random_network
from backtime.insight.unfolded.partials import Values
from backtime.reference import Weights
from derived_cells import cells

# What each node is, from the nodes it is computed from: the equations of the cells, once more.


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def equation(network: Network, node: Node, v: dict[Node, Any], W: Weights) -> Any:
    """The value of ``node``, where ``v`` holds the values of others."""
    letter, layer, t = node
    below = v[Node("h", layer - 1, t) if layer > 1 else Node("x", 0, t)]
    before = v[Node("h", layer, t - 1)]
    H, gates = len(before), {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}[network.cell]

    def own(name: str) -> Any:
        return v[Node(name, layer, t)]

    def rows(a: Any) -> Any:
        k = gates.index(letter)
        return a[k * H : (k + 1) * H]

    if network.cell == "lstm" and letter in "hc":
        if letter == "h":
            return own("o") * np.tanh(own("c"))
        return own("f") * v[Node("c", layer, t - 1)] + own("i") * own("g")
    if network.cell == "gru" and letter == "h":
        return (1 - own("z")) * own("n") + own("z") * before
    zx = rows(W.Wx) @ below + rows(W.bx)
    if letter == "n" and network.options.get("reset_after", True):
        return np.tanh(zx + own("r") * (rows(W.Wh) @ before + rows(W.bh)))
    if letter == "n":
        return np.tanh(zx + rows(W.Wh) @ (own("r") * before) + rows(W.bh))
    z = zx + rows(W.Wh) @ before + rows(W.bh)
    if network.cell == "rnn":
        name = network.options.get("activation", "tanh")
        return {
            "tanh": np.tanh,
            "relu": lambda z: np.maximum(z, 0),
            "sigmoid": sigmoid,
            "identity": lambda z: z,
        }[name](z)
    return np.tanh(z) if letter == "g" else sigmoid(z)


def edges(graph: Graph) -> Iterator[tuple[Node, Node]]:
    for node in graph.backward_order():
        yield from ((node, source) for source in graph.sources(node))


STEP = 1e-6  # central differences: error of order STEP^2 = 1e-12 and rounding 1e-16 / STEP = 1e-10


@cells
def test_every_partial_derivative_is_the_derivative(cell: str, options: dict[str, Any]) -> None:
    for kind in ("Wx", "Wh", "bx", "bh"):
        network = random_network(cell, 2, 3, hidden_size=3, input_size=2, seed=3, **options)
        graph = Graph(cell, 2, 3, Wrt(kind, 2))
        values = Values(network, 3)
        v = dict(values._found)
        for node, source in edges(graph):
            if node.letter in "Ey":
                continue
            W = network.layers[node.layer - 1]
            if source.letter == kind:
                numeric = weight_difference(network, node, v, W, kind)
                use = values.use(node, kind)
                rows = values.rows(node)
                full = np.zeros((3, *getattr(W, kind).shape))  # d gate_k / d W
                for k in range(3):
                    full[k, rows.start + k] = use.matrix()[k]
                assert abs(full - numeric).max() < 1e-8, (node, source)
            else:
                numeric = difference(network, node, source, v, W)
                assert abs(values.partial(node, source).matrix() - numeric).max() < 1e-8, (node, source)


def difference(network: Network, node: Node, source: Node, v: dict[Node, Any], W: Weights) -> Any:
    columns = []
    for k in range(len(v[source])):
        move = STEP * np.eye(len(v[source]))[k]
        up, down = (equation(network, node, v | {source: v[source] + s * move}, W) for s in (1, -1))
        columns.append((up - down) / (2 * STEP))
    return np.stack(columns, axis=1)


def weight_difference(network: Network, node: Node, v: dict[Node, Any], W: Weights, kind: str) -> Any:
    weight = getattr(W, kind)
    found = np.zeros((3, *weight.shape))
    for place in np.ndindex(weight.shape):
        move = np.zeros_like(weight)
        move[place] = STEP
        up, down = (equation(network, node, v, W._replace(**{kind: weight + s * move})) for s in (1, -1))
        found[(slice(None), *place)] = (up - down) / (2 * STEP)
    return found


@pytest.mark.parametrize("loss", ["squared-error", "cross-entropy", "binary-cross-entropy"])
def test_loss_and_output_unit_by_finite_differences(loss: str) -> None:
    network = random_network("rnn", 1, 1, 3, output_size=4, loss=loss)
    values, h = Values(network, 1), Node("h", 1, 1)

    def output(z: Any) -> Any:
        return {"squared-error": z, "cross-entropy": np.exp(z) / np.exp(z).sum()}.get(loss, sigmoid(z))

    def error(y: Any) -> Any:
        t = network.target
        if loss == "squared-error":
            return 0.5 * ((y - t) ** 2).sum()
        return -np.log(y[t]) if loss == "cross-entropy" else -(t * np.log(y) + (1 - t) * np.log(1 - y)).sum()

    E, y = Node("E", 0, 1), Node("y", 0, 1)
    for node, source, f in (
        (y, h, lambda v: output(network.Wy @ v + network.by)),
        (E, y, lambda v: np.atleast_1d(error(v))),
    ):
        moves = STEP * np.eye(len(values[source]))
        numeric = [(f(values[source] + m) - f(values[source] - m)) / (2 * STEP) for m in moves]
        assert abs(values.partial(node, source).matrix() - np.stack(numeric, axis=1)).max() < 1e-8
        assert values[node] == pytest.approx(f(values[source]))
