"""The picture where the paths are too many to draw: paths to each state, and what arrives there."""

from typing import Any

import numpy as np

from backtime.insight.derivation.derivation import Derivation

DARK = 0.65  # of the way up the colours: from here on the writing is white
MOST_WRITTEN = 20  # lags with the number of paths written into their field


def draw_overview(found: Derivation) -> Any:
    """A map of layers (rows) and steps (columns): the norm of dE/dh as colour, the number of paths inside."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    graph = found.graph
    norms, counts = np.zeros((graph.layers, graph.at)), np.zeros((graph.layers, graph.at), object)
    for state in found.states:
        place = graph.layers - state.layer, graph.at - 1 - state.lag
        norms[place], counts[place] = state.norm, state.count
    figure = Figure(figsize=(min(3.5 + 0.75 * graph.at, 18), 2.2 + 0.6 * graph.layers), layout="constrained")
    axes = figure.subplots()
    least = norms[norms > 0].min(initial=1.0)
    scale = LogNorm(least, max(norms.max(initial=0.0), least * 10)) if norms.any() else None
    image = axes.imshow(np.where(norms > 0, norms, np.nan), norm=scale, cmap="YlOrRd", aspect="auto")
    figure.colorbar(image, ax=axes, label="norm of dE/dh")
    if graph.at <= MOST_WRITTEN:
        for (row, column), count in np.ndenumerate(counts):
            dark = norms[row, column] > least ** (1 - DARK) * max(norms.max(), least) ** DARK
            text: dict[str, Any] = {
                "ha": "center",
                "va": "center",
                "fontsize": 8,
                "color": "white" if dark else "black",
            }
            axes.text(column, row, _short(count), **text)
        axes.set_xticks(range(graph.at), [found.notation.step(step + 1) for step in range(graph.at)])
    axes.set_yticks(
        range(graph.layers), [found.notation.state(graph.layers - row) for row in range(graph.layers)]
    )
    axes.set_xlabel("step")
    title = f"paths from the loss at step {found.notation.step(graph.at)} to each state"
    figure.suptitle(title, fontsize=10)  # of the whole figure, which is wider than the map
    return figure


def _short(count: int) -> str:
    return f"{count:,}" if count < 100_000 else f"{count:.0e}".replace("e+", "e")
