"""One unfolded network with one path marked, on matplotlib's axes."""

from itertools import pairwise
from math import hypot
from typing import Any

from backtime.insight.derivation.derivation import Derivation
from backtime.insight.derivation.records import Factor, Path
from backtime.insight.drawing.layout import Layout
from backtime.insight.unfolded.graph import CELLS, WEIGHTS, Node

INCH = 0.62  # of a unit of the layout
RADIUS = 0.36  # of a node
MARKED, FILLED, LINE, INK, PALE = "#c8401c", "#fbe3d6", "#b9c0c8", "#22303c", "#f5f6f8"
WHITE = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.92}


class Panel:
    """One unfolded network with one path marked."""

    def __init__(self, axes: Any, found: Derivation, layout: Layout) -> None:
        """Draw on ``axes``, in the units of ``layout``."""
        self.axes, self.found, self.layout = axes, found, layout

    def draw(self, path: Path) -> None:
        """The network in grey, the path over it in colour."""
        graph, marked = self.found.graph, set(pairwise(path.nodes))
        edges = [(node, source) for node in graph.backward_order() for source in graph.sources(node)]
        edges = [edge for edge in edges if edge[1].letter not in WEIGHTS]
        self._frames()
        self._names()
        for node, source in edges:
            if (node, source) not in marked:
                self._edge(source, node)
        for (node, source), factor in zip(pairwise(path.nodes), path.factors, strict=True):
            self._marked_edge(node, source, factor)
        for node in {graph.loss} | {source for _, source in edges}:
            self._node(node, node in path.nodes)
        if path.nodes[-1].letter in WEIGHTS:
            self._weight(path.nodes[-1], path.nodes[-2])

    def _frames(self) -> None:
        from matplotlib.patches import FancyBboxPatch

        graph = self.found.graph
        if len(CELLS[graph.cell].inner) == 1:
            return
        for layer in range(1, graph.layers + 1):
            for step in range(1, graph.at + 1):
                corner, width, height = self.layout.box(layer, step)
                style: dict[str, Any] = {
                    "boxstyle": "round,pad=0,rounding_size=0.25",
                    "facecolor": PALE,
                    "edgecolor": LINE,
                }
                self.axes.add_patch(FancyBboxPatch(corner, width, height, linewidth=0.6, zorder=0, **style))

    def _names(self) -> None:
        """What the rows and the columns are."""
        graph, ((left, bottom), _) = self.found.graph, self.layout.limits()
        style = {"fontsize": 10, "color": "#7a8794"}
        for layer in range(1, graph.layers + 1):
            y = self.layout.place(Node("h", layer, 0))[1]
            self.axes.text(left + 0.1, y, f"layer {layer}", ha="left", va="center", **style)
        for step in range(1, graph.at + 1):
            x = self.layout.place(Node("x", 0, step))[0]
            name = f"step ${self.found.notation.step(step)}$"
            self.axes.text(x, bottom + 0.2, name, ha="center", va="bottom", **style)

    def _edge(self, source: Node, node: Node) -> None:
        """An edge in the direction in which the network computes."""
        style = {"arrowstyle": "-|>", "color": LINE, "linewidth": 0.9, "mutation_scale": 9, "zorder": 1}
        self._arrow(self.layout.place(source), self.layout.place(node), style)

    def _marked_edge(self, node: Node, source: Node, factor: Factor) -> None:
        """An edge in the direction in which the gradient goes, with its partial derivative."""
        start, end = self.layout.place(node), self.layout.place(source, node)
        style = {"arrowstyle": "-|>", "color": MARKED, "linewidth": 2.4, "mutation_scale": 15, "zorder": 3}
        self._arrow(start, end, style)
        derivative = f"${factor.latex}$".replace(r"\frac", r"\dfrac")
        number = f"{factor.matrix.item():.3g}" if factor.matrix.size == 1 else ""
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        if abs(start[1] - end[1]) < 0.1:  # above an edge that goes back, its number under it
            self._label(x, y + 0.12, derivative, "center", "bottom")
            self._label(x, y - 0.12, number, "center", "top")
            return
        text = f"{derivative} = {number}" if number else derivative
        if source.letter in WEIGHTS:
            self._label(end[0] - 0.34, end[1], derivative, "right", "center")
            self._label(end[0], end[1] - 0.32, number, "center", "top")
        elif abs(start[0] - end[0]) < 0.1:  # beside an edge that goes down
            self._label(x + 0.14, y, text, "left", "center")
        else:
            across = 0.42 / hypot(start[0] - end[0], start[1] - end[1])
            if node.step == source.step and start[0] < end[0]:  # outside of what comes next
                across = -across
            x, y = x - (start[1] - end[1]) * across, y + (start[0] - end[0]) * across
            self._label(x, y, text, "center", "center")

    def _label(self, x: float, y: float, text: str, ha: str, va: str) -> None:
        if text:
            self.axes.text(x, y, text, fontsize=9, color=MARKED, bbox=WHITE, zorder=5, ha=ha, va=va)

    def _arrow(self, start: tuple[float, float], end: tuple[float, float], style: dict[str, Any]) -> None:
        from matplotlib.patches import FancyArrowPatch

        points = 72 * INCH * RADIUS  # a node's radius on paper
        self.axes.add_patch(FancyArrowPatch(start, end, shrinkA=points, shrinkB=points + 1, **style))

    def _node(self, node: Node, marked: bool) -> None:
        from matplotlib.patches import Circle

        place = self.layout.place(node)
        edge, fill = (MARKED, FILLED) if marked else (LINE, "white")
        self.axes.add_patch(
            Circle(place, RADIUS, facecolor=fill, edgecolor=edge, linewidth=1.6 if marked else 0.9, zorder=4)
        )
        name = f"${self.found.notation.latex(node)}$"
        self.axes.text(*place, name, fontsize=10, color=INK, ha="center", va="center_baseline", zorder=6)

    def _weight(self, end: Node, gate: Node) -> None:
        name = f"${self.found.notation.latex(end)}$"
        box = {"boxstyle": "square,pad=0.25", "facecolor": MARKED, "edgecolor": MARKED}
        style = {"fontsize": 11, "color": "white", "ha": "center", "va": "center", "zorder": 6, "bbox": box}
        self.axes.text(*self.layout.place(end, gate), name, **style)
