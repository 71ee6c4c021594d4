"""What each written symbol looked at: words of a text, or places of an image."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from backtime.reference.weights import Array

MOST = 6  # texts in one picture
MOST_SYMBOLS = 12  # of an image's text that have a picture each


def draw_attention(found: Sequence[tuple[list[str], list[str], Array | None]]) -> Any:
    """A figure with a map for each of the first texts: columns are the source, rows what was written."""
    from matplotlib.figure import Figure

    shown = list(found)[:MOST]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.8 * rows), layout="constrained")
    for n, (source, written, attention) in enumerate(shown, 1):
        axes = figure.add_subplot(rows, columns, n)
        values = np.zeros((len(written) or 1, len(source))) if attention is None else attention
        axes.imshow(values, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(source)), source, rotation=60, ha="right", fontsize=8)
        axes.set_yticks(range(len(written)), written, fontsize=8)
    return figure


def draw_looks(found: Sequence[tuple[Array, list[str], Array | None]], grid: tuple[int, int]) -> Any:
    """A figure with a row for each image: the image, then, lit up, the places that each symbol looked at.

    An image is (rows, columns, channels), its attention (T, P) over the P places of ``grid``.
    """
    from matplotlib.figure import Figure

    columns = 1 + min(MOST_SYMBOLS, max((len(symbols) for _, symbols, _ in found), default=0))
    figure = Figure(figsize=(1.8 * columns, 1.8 * max(1, len(found))), layout="constrained")
    for row, (image, symbols, attention) in enumerate(found):
        looks = [None] * len(symbols) if attention is None else list(attention)
        for column, (name, look) in enumerate(zip(["", *symbols], [None, *looks], strict=True)):
            if column < columns:
                axes = figure.add_subplot(len(found), columns, row * columns + column + 1)
                _draw_look(axes, image, name, None if look is None else look.reshape(grid))
    return figure


def _draw_look(axes: Any, image: Array, name: str, look: Array | None) -> None:
    values = image.astype(np.float64)
    low, high = values.min(), values.max()
    rows, columns, channels = image.shape
    shown = (values - low) / (high - low or 1)
    axes.imshow(shown if channels == 3 else shown.mean(2), cmap="Greys_r", vmin=0, vmax=1)
    if look is not None:
        extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
        axes.imshow(look, cmap="inferno", alpha=0.6, extent=extent, interpolation="bilinear", vmin=0)
    axes.set_title(name, fontsize=9)
    axes.set_axis_off()
