"""The curves of the page: by lag, and by the length at which backpropagation is truncated."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from backtime.insight.reports.page_axes import COLORS, FLOOR, axes, named, power
from backtime.insight.reports.report import Report


def by_lag(reports: list[Report]) -> Any:
    """With the middle half of losses and sequences, and the lag that the problem needs."""
    figure = go.Figure()
    colors = iter(COLORS * 20)
    for own in reports:
        for level in own.flow.levels:
            color, name = next(colors), named(own, level.name, reports)
            k = list(range(len(level.log_relative)))
            low, high = (power(level.log_quantiles[n] - level.log_mean[0]) for n in (1, 3))
            figure.add_scatter(
                x=k + k[::-1],
                y=[*high, *low[::-1]],
                fill="toself",
                fillcolor=color,
                opacity=0.15,
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=name,
            )
            figure.add_scatter(
                x=k,
                y=power(np.where(level.log_relative < FLOOR, np.nan, level.log_relative)),
                name=name,
                line={"color": color},
                legendgroup=name,
                hovertemplate="lag %{x}: %{y:.3g}",
            )
    for share, name in ((0.5, "half"), (0.01, "1 %")):
        figure.add_hline(y=share, line={"dash": "dot", "color": "grey", "width": 1})
        place = {"x": 1, "xref": "paper", "y": np.log10(share)}  # notes count in powers of ten
        figure.add_annotation(text=name, showarrow=False, yanchor="bottom", xanchor="right", **place)
    needs = next((own.needs for own in reports if own.needs), None)
    if needs:
        line = {"dash": "dot", "color": "grey"}
        figure.add_vline(x=needs, line=line, annotation_text=f"needed: {needs}", annotation_textangle=-90)
    figure.update_yaxes(type="log", exponentformat="power", title="share of the gradient at lag 0")
    return axes(figure, "lag k: steps back from the loss")


def shares(reports: list[Report]) -> Any:
    """The running sum of what lags add; the recurrent weights are shown, others on a click."""
    figure = go.Figure()
    for own in reports:
        for parameter in own.flow.parameters:
            hidden = None if "weight_hh" in parameter.name else "legendonly"
            y = (100 * parameter.lag_share.cumsum()).round(3).tolist()
            figure.add_scatter(y=y, name=named(own, parameter.name, reports), visible=hidden or True)
    figure.update_yaxes(title="% of the whole gradient, in its direction")
    return axes(figure, "lag k")


def truncation(reports: list[Report]) -> Any:
    """Lengths on a scale of powers of two."""
    figure, lengths = go.Figure(), [1]
    for own in reports:
        found = own.flow.truncation
        if found is None:
            continue
        lengths += found.lengths
        curves = (found.chunk_cosine, "chunks of n steps", None), (found.cosine, "each loss n steps", "dash")
        for values, text, dash in curves:
            figure.add_scatter(
                x=np.log2(found.lengths).tolist(),
                y=values.round(5).tolist(),
                customdata=found.lengths,
                hovertemplate="n = %{customdata}: %{y}",
                name=named(own, text, reports),
                line={"dash": dash},
                mode="lines+markers",
            )
        for n, text in ((own.recommended, "recommended"), (own.seq_length, "trained with")):
            if n:
                line = {"dash": "dot", "color": "grey"}
                figure.add_vline(
                    x=np.log2(n), line=line, annotation_text=f"{text} {n}", annotation_textangle=-90
                )
    ticks = [n for n in sorted(set(lengths)) if n & (n - 1) == 0]
    figure.update_xaxes(tickvals=np.log2(ticks).tolist(), ticktext=[str(n) for n in ticks])
    figure.update_yaxes(title="cosine with the whole gradient")
    return axes(figure, "n steps")


def lines(reports: list[Report]) -> Any:
    """The straight line of cell or state."""
    figure = go.Figure()
    for own in reports:
        for level in own.flow.levels:
            if level.line_share is not None:
                y = (100 * level.line_share).round(3).tolist()
                figure.add_scatter(y=y, name=named(own, level.name, reports))
    figure.update_yaxes(title="% on the straight line")
    return axes(figure, "lag k")
