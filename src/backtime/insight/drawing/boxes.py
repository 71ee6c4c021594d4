"""Boxes in rows and columns with arrows between them, drawn with matplotlib."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from backtime.insight.drawing.nodes import Edge, Node

ACROSS, UP = 1.25, 1.15  # inches from box to box
WIDTH, HEIGHT = 0.66, 0.5
FILL = {"x": "#e9eef6", "h": "#1f5fa8", "z": "#7aa6d6", "y": "#f6d9c0"}
INK = {"x": "#22303f", "h": "white", "z": "white", "y": "#22303f"}
LINE, RECURRENT = "#66727f", "#d1495b"


def drawn_boxes(title: str, nodes: list[Node], edges: list[Edge]) -> Figure:
    """Inputs at the bottom, outputs at the top, time from left to right; what goes through time is red."""
    steps, rows = max(own.step for own in nodes) + 1, max(own.row for own in nodes) + 1
    figure = Figure(figsize=(max(steps * ACROSS, 3.2) + 0.3, rows * UP + 0.35))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_aspect("equal")
    middle = (steps - 1) * ACROSS / 2
    half = max(steps * ACROSS, 3.2) / 2 + 0.15
    axes.set(xlim=(middle - half, middle + half), ylim=(-0.5, rows * UP - 0.15))
    axes.text(middle, rows * UP - 0.35, title, ha="center", va="center", fontsize=11, color="#22303f")
    for edge in edges:
        _arrow(axes, edge)
    for own in nodes:
        _box(axes, own)
    return figure


def _place(own: Node) -> tuple[float, float]:
    return own.step * ACROSS, own.row * UP


def _box(axes: Any, own: Node) -> None:
    x, y = _place(own)
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    shape = "round,pad=0,rounding_size=0.1"
    axes.add_patch(
        FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle=shape, fc=FILL[own.kind], ec="none", zorder=3)
    )
    label = f"${own.kind}_{{{own.step + 1}}}$"
    axes.text(x, y - 0.02, label, ha="center", va="center", color=INK[own.kind], fontsize=13, zorder=4)


def _arrow(axes: Any, edge: Edge) -> None:
    """Straight up or along; around a box that stands between, and from an output down to the next step."""
    (x, y), (u, v) = _place(edge.start), _place(edge.end)
    through_time, style = edge.start.step != edge.end.step, "arc3"
    if not through_time and abs(edge.end.row - edge.start.row) > 1:
        style = "arc3,rad=0.42"
        x, u = x + WIDTH * 0.38, u + WIDTH * 0.38
    start, end = (x, y), (u, v)
    if through_time and y == v:
        sign = 1 if u > x else -1
        start, end = (x + sign * WIDTH / 2, y), (u - sign * WIDTH / 2, v)
    elif through_time:
        start, end = (x + WIDTH / 2, y - HEIGHT / 4), (u - WIDTH / 2, v + HEIGHT / 4)
    else:
        start, end = (x, y + HEIGHT / 2), (u, v - HEIGHT / 2)
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, shrinkA=0, shrinkB=0, lw=1.3,
            color=RECURRENT if through_time else LINE, connectionstyle=style, zorder=2,
        )
    )  # fmt: skip
