"""The terms of a gradient: what one path, or all paths that end at one use, contribute to it."""

from dataclasses import dataclass

import numpy as np

from backtime.insight.unfolded.graph import Graph, Node
from backtime.insight.unfolded.partials import Values
from backtime.reference.weights import Array


@dataclass(frozen=True)
class Term:
    """A matrix or vector of the parameter's shape, kept as outer products of a few vectors.

    ``parts`` are ``(rows, dz, met)``: ``dz^T met`` in these rows (``dz`` alone where ``met`` is None), zero
    elsewhere. No two parts share rows.
    """

    shape: tuple[int, ...]
    parts: list[tuple[slice, Array, Array | None]]

    def add_to(self, total: Array) -> None:
        """Add this term to ``total``, in place."""
        for rows, dz, met in self.parts:
            total[rows] += dz if met is None else np.outer(dz, met)

    @property
    def value(self) -> Array:
        """The term, an array of the parameter's shape."""
        total = np.zeros(self.shape)
        self.add_to(total)
        return total

    @property
    def norm(self) -> float:
        """The square root of the sum of all squares (Frobenius)."""
        return float(
            np.sqrt(sum((dz @ dz) * (1.0 if met is None else met @ met) for _, dz, met in self.parts))
        )

    def along(self, direction: Array) -> float:
        """The inner product with ``direction``, an array of the parameter's shape."""
        found = (
            dz @ (direction[rows] if met is None else direction[rows] @ met) for rows, dz, met in self.parts
        )
        return float(sum(found))

    @property
    def largest(self) -> float:
        """The largest absolute value of an entry."""
        size = [_largest(dz) * (1.0 if met is None else _largest(met)) for _, dz, met in self.parts]
        return max(size, default=0.0)


def shape_of(values: Values, graph: Graph) -> tuple[int, ...]:
    """The shape of the parameter."""
    kind, layer, _ = graph.wrt
    weights = values.network.layers[layer - 1]
    if kind == "x":
        return (weights.Wx.shape[1],)
    if kind in ("h0", "c0"):
        return (weights.Wh.shape[1],)
    shape: tuple[int, ...] = getattr(weights, kind).shape
    return shape


def term_of(values: Values, graph: Graph, end: Node, arrived: list[tuple[Node, Array]]) -> Term:
    """What reaches ``end``: ``arrived`` has the nodes that are computed from it, each with dE/dnode (H,)."""
    if end.letter in ("x", "h", "c"):
        total = np.zeros(shape_of(values, graph))
        for node, v in arrived:
            total += values.partial(node, end).back(v)
        return Term(total.shape, [(slice(None), total, None)])
    parts: list[tuple[slice, Array, Array | None]] = []
    for node, v in arrived:
        use = values.use(node, end.letter)
        parts.append((values.rows(node), v * use.slope, use.met))
    return Term(shape_of(values, graph), parts)


def gradients(values: Values, graph: Graph) -> dict[Node, list[tuple[Node, Array]]]:
    """For every node, what arrives there: the nodes computed from it with their whole dE/dnode.

    One pass over the graph: a node's gradient is the sum over all paths to it, none of which is listed.
    """
    arrived: dict[Node, list[tuple[Node, Array]]] = {graph.loss: []}
    ends = set(graph.ends())
    for node in graph.backward_order():
        if node not in arrived:
            continue
        dv = total_at(values, node, arrived[node])
        for source in graph.sources(node):
            if source in ends or graph.sources(source):
                arrived.setdefault(source, []).append((node, dv))
    return arrived


def total_at(values: Values, node: Node, arrived: list[tuple[Node, Array]]) -> Array:
    """dE/dnode (H,), from what arrived there."""
    if not arrived:
        return np.ones(1)  # dE/dE
    total = values.partial(arrived[0][0], node).back(arrived[0][1])
    for above, v in arrived[1:]:
        total = total + values.partial(above, node).back(v)
    return total


def _largest(a: Array) -> float:
    return float(np.abs(a).max(initial=0.0))
