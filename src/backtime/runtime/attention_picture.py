"""What each written symbol looked at: a grey map for each text."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from backtime.reference.weights import Array

MOST = 6  # texts in one picture


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
