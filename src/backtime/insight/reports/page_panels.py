"""The map of every loss and lag, and the bars of the gates."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from backtime.insight.reports.page_axes import FLOOR, axes, named
from backtime.insight.reports.report import Report

MOST = 160  # points along an axis of a map


def maps(reports: list[Report]) -> Any:
    """One map for each layer."""
    levels = [(named(own, level.name, reports), level.map) for own in reports for level in own.flow.levels]
    figure = make_subplots(rows=len(levels), subplot_titles=[name for name, _ in levels], shared_xaxes=True)
    for row, (_, values) in enumerate(levels, 1):
        K, N = values.shape
        ks, ts = _thinned(K), _thinned(N)
        z = np.clip(np.nan_to_num(values[np.ix_(ks, ts)], neginf=FLOOR, nan=np.nan), FLOOR, 300).round(2)
        shown = [[None if np.isnan(v) else v for v in line] for line in z.tolist()]
        figure.add_heatmap(
            z=shown,
            x=ts.tolist(),
            y=ks.tolist(),
            row=row,
            col=1,
            coloraxis="coloraxis",
            hovertemplate="loss %{x}, lag %{y}: 1e%{z}<extra></extra>",
        )
        figure.update_yaxes(title="lag k", row=row, col=1)
    scale = {"colorscale": "Viridis", "cmin": -6, "cmax": 1, "colorbar": {"title": "log10 of<br>|dE_t/dh|"}}
    figure.update_layout(height=120 + 260 * len(levels), coloraxis=scale)
    return axes(figure, "step t of the loss")


def gates(reports: list[Report]) -> Any:
    """Shares of units and steps at either end."""
    figure = go.Figure()
    names, shut, opened, units = [], [], [], []
    for own in reports:
        for level in own.flow.levels:
            for gate, use in level.gates.items():
                names.append(named(own, f"{level.name}, {level.gate_name(gate)}", reports))
                shut.append(round(100 * float(use.closed.mean()), 2))
                opened.append(round(100 * float(use.open.mean()), 2))
                most = np.argsort(-(use.closed + use.open))[:5]
                units.append(", ".join(f"{u}: {use.closed[u] + use.open[u]:.0%}" for u in most))
    for values, text in ((shut, "shut, or at the lower end"), (opened, "open, or at the upper end")):
        figure.add_bar(
            y=names,
            x=values,
            orientation="h",
            name=text,
            customdata=units,
            hovertemplate="%{x} %<br>most saturated units: %{customdata}",
        )
    figure.update_layout(barmode="stack", height=140 + 26 * len(names))
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(range=[0, 100])
    return axes(figure, "% of units and steps")


def _thinned(n: int) -> Any:
    return np.unique(np.linspace(0, n - 1, min(n, MOST)).round().astype(int))
