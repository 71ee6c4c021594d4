"""The unfolded network with a path marked, drawn with matplotlib (the optional extra ``plots``)."""

import io
import re
from collections.abc import Sequence
from math import ceil
from pathlib import Path as FilePath
from typing import Any

from backtime.errors import UsageError
from backtime.files import atomic_write
from backtime.insight.derivation.derivation import Derivation
from backtime.insight.derivation.records import Path
from backtime.insight.drawing.layout import Layout
from backtime.insight.drawing.panel import INCH, Panel

MOST_PANELS, MOST_STEPS, MOST_LAYERS = 12, 32, 12
OUTLINE, DECIMALS = re.compile(rb' d="[^"]*"'), re.compile(rb"(\.\d\d)\d+")
COLUMNS = 3  # panels side by side


def write_pictures(found: Derivation, files: Sequence[FilePath], number: int | None = None) -> None:
    """Draw every listed path in a panel of its own, or path ``number`` alone, to ``.svg`` and ``.png`` files.

    Where the paths are too many for panels, the picture shows how many lead to each state and what arrives
    there. Raises ``UsageError`` when matplotlib is missing or a file has another suffix.
    """
    for file in files:
        if file.suffix.lower() not in (".svg", ".png"):
            raise UsageError(f"picture is {file}; expected a file name with .svg or .png at its end")
    figure = draw(found, number)
    for file in files:
        picture = _saved(figure, file.suffix.lower()[1:])
        with atomic_write(file) as out:
            out.write(picture)


def draw(found: Derivation, number: int | None = None) -> Any:
    """The picture as a matplotlib ``Figure``."""
    try:
        import matplotlib  # noqa: F401 - said in one line where it is missing
    except ModuleNotFoundError as error:
        raise UsageError("a picture needs matplotlib: pip install matplotlib") from error
    if number is not None:
        return _panels(found, [(number, _chosen(found, number))])
    if not found.paths or len(found.paths) > MOST_PANELS or _too_large(found):
        from backtime.insight.drawing.overview import draw_overview

        return draw_overview(found)
    return _panels(found, list(enumerate(found.paths, 1)))


def _saved(figure: Any, kind: str) -> bytes:
    """The picture as a file's bytes; equal pictures give equal bytes."""
    import matplotlib

    picture = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "backtime"}):
        figure.savefig(picture, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None)
    return _shorter(picture.getvalue()) if kind == "svg" else picture.getvalue()


def _shorter(svg: bytes) -> bytes:
    """The outlines of lines and letters with two decimals in place of six: half the size."""
    return OUTLINE.sub(lambda path: DECIMALS.sub(rb"\1", path[0]), svg)


def _too_large(found: Derivation) -> bool:
    return found.graph.at > MOST_STEPS or found.graph.layers > MOST_LAYERS


def _chosen(found: Derivation, number: int) -> Path:
    if _too_large(found):
        raise UsageError(
            f"{found.graph.layers} layers over {found.graph.at} steps; "
            f"expected up to {MOST_LAYERS} and {MOST_STEPS} for the picture of a path"
        )
    return found.number(number)


def _panels(found: Derivation, paths: list[tuple[int, Path]]) -> Any:
    from matplotlib.figure import Figure

    layout = Layout(found.graph.cell, found.graph.layers, found.graph.at)
    (left, bottom), (right, top) = layout.limits()
    columns = min(COLUMNS, len(paths))
    rows = ceil(len(paths) / columns)
    size = (columns * (right - left) * INCH, rows * ((top - bottom) * INCH + 0.4) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(_title(found), fontsize=13)
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.set_axis_off()
        axes.set_aspect("equal")
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
    for axes, (number, path) in zip(figure.axes, paths, strict=False):
        of = f"path {number} of {found.count:,}"
        axes.set_title(f"{of}: lag {path.lag}, norm {path.norm:.3g}", fontsize=11)
        Panel(axes, found, layout).draw(path)
    return figure


def _title(found: Derivation) -> str:
    graph = found.graph
    loss, end = (found.notation.latex(node) for node in (graph.loss, graph.ends()[0]))
    kind, layer, _ = graph.wrt
    own = "" if kind == "x" else f" of layer {layer}"
    plural = "" if found.count == 1 else "s"
    return rf"$\partial {loss} / \partial {end}${own}, {graph.cell}: {found.count:,} path{plural}"
