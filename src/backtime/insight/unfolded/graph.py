"""The unfolded network as a graph: which quantity is computed from which. docs/gradient-through-time.md.

A node is a quantity of one layer at one step; an edge leads from what is computed to what it is computed
from, the way a gradient goes. A weight used at several steps is a node at each of them: its gradient is the
sum over these uses.

    E -> y -> h of the last layer, at the step of the loss
    rnn    h -> h of the layer below (x under the first) and h_{t-1}
    lstm   h -> o, c;   c -> i, f, g, c_{t-1};   each gate -> h below, h_{t-1}
    gru    h -> z, n, h_{t-1};   n -> r;          each gate -> h below, h_{t-1}
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Node(NamedTuple):
    """``letter`` of ``layer`` 1..L (0 for E, y and x) at ``step`` 1..T (0 for the first state)."""

    letter: str
    layer: int
    step: int


class Wrt(NamedTuple):
    """What the gradient is taken of: ``Wx``, ``Wh``, ``bx``, ``bh`` of a layer; ``h0``, ``c0``; ``x``."""

    kind: str
    layer: int  # 1..L; of x, 1: the layer that reads it
    step: int | None = None  # of x, the step


class CellGraph(NamedTuple):
    """The inside of a cell: edges within a step, and edges to the step before that pass no weight."""

    inner: dict[str, tuple[str, ...]]  # in the order of the backward pass
    line: dict[str, str]
    gates: tuple[str, ...]  # what reads x or h of the layer below through Wx, and h_{t-1} through Wh


CELLS = {
    "rnn": CellGraph({"h": ()}, {}, ("h",)),
    "gru": CellGraph({"h": ("z", "n"), "z": (), "n": ("r",), "r": ()}, {"h": "h"}, ("r", "z", "n")),
    "lstm": CellGraph(
        {"h": ("o", "c"), "c": ("i", "f", "g"), "i": (), "f": (), "g": (), "o": ()},
        {"c": "c"},
        ("i", "f", "g", "o"),
    ),
}
WEIGHTS = ("Wx", "Wh", "bx", "bh")
STATE = {"rnn": ("h",), "gru": ("h",), "lstm": ("h", "c")}


@dataclass(frozen=True)
class Graph:
    """What ``E`` at step ``at`` depends on, in ``layers`` layers of ``cell``, down to the uses of ``wrt``."""

    cell: str
    layers: int
    at: int
    wrt: Wrt

    @property
    def loss(self) -> Node:
        """Where every path begins."""
        return Node("E", 0, self.at)

    def ends(self) -> list[Node]:
        """Where the paths end: each use of ``wrt``, the latest first."""
        kind, layer, step = self.wrt
        if step is not None:
            return [Node(kind, 0, step)]
        if kind in ("h0", "c0"):
            return [Node(kind[0], layer, 0)]
        return [Node(kind, layer, step) for step in range(self.at, 0, -1)]

    def sources(self, node: Node) -> list[Node]:
        """What ``node`` is computed from: within its step, then below it, then the step before."""
        letter, _, step = node
        if letter == "E":
            return [Node("y", 0, step)]
        if letter == "y":
            return [Node("h", self.layers, step)]
        if step == 0 or letter not in CELLS[self.cell].inner:
            return []
        return list(self._sources_in_cell(node))

    def _sources_in_cell(self, node: Node) -> Iterator[Node]:
        (letter, layer, step), cell = node, CELLS[self.cell]
        yield from (Node(inner, layer, step) for inner in cell.inner[letter])
        if letter in cell.gates:
            if self.wrt.kind in WEIGHTS and self.wrt.layer == layer:
                yield Node(self.wrt.kind, layer, step)
            yield Node("h", layer - 1, step) if layer > 1 else Node("x", 0, step)
            yield Node("h", layer, step - 1)
        if letter in cell.line:
            yield Node(cell.line[letter], layer, step - 1)

    def backward_order(self) -> Iterator[Node]:
        """Every node that has sources, each after all that are computed from it."""
        yield self.loss
        yield Node("y", 0, self.at)
        for step in range(self.at, 0, -1):
            for layer in range(self.layers, 0, -1):
                yield from (Node(letter, layer, step) for letter in CELLS[self.cell].inner)
