"""The interactive report: one HTML page that needs no network, drawn by plotly, whose script is inside."""

import html
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from backtime.insight.measures import LevelFlow
from backtime.insight.reports.report import Report
from backtime.insight.verdict.rules import HEALTHY, growth, saturation

FLOOR = -12.0
MOST = 160  # points along an axis of a map
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em } table { border-collapse: collapse }
th, td { text-align: left; padding: .2em .9em .2em 0; border-bottom: 1px solid #ddd }
.well { color: #2e7d32 } .ill { color: #b3261e } code { background: #f2f2f2; padding: 0 .25em }
.how { color: #555; max-width: 75ch }
"""
HOW = {
    "lag": """Each loss sends a gradient back through time. The curve is the mean size of that gradient at the
state k steps earlier, over its size at lag 0; the band holds the middle half of losses and sequences. A
straight fall is a constant loss at each step; a curve that rises explodes.""",
    "map": """The same before the mean over losses: a column is a loss at step t, a row is how far back.
Bright is much gradient. Where a column stays bright far up, that loss remembers.""",
    "share": """The gradient of the recurrent weights is a sum over lags. The curve is the running sum of what
lags 0 to k add in the direction of the whole: where it reaches 100 %, longer memory changes no weight.""",
    "truncation": """Training cuts the text into chunks of <code>--seq-length</code> n steps, and no
gradient crosses a border. Solid: the cosine of that gradient with the whole one, the mean over where the
borders fall.""",
    "line": """In an LSTM the cell, in a GRU the state itself, is a straight line through time. The curve is
the share of the gradient that came all the way on it; the rest went through the recurrent weights.""",
    "gates": """Where a gate stands at a flat end its own weights learn nothing. An open forget gate is how
a cell remembers: that end is no illness. Hover a bar for the units.""",
}


def page(reports: list[Report]) -> str:
    """The whole page as text; of one model, or of two side by side."""
    title = "Gradient through time: " + " and ".join(own.name for own in reports)
    parts = [f"<h1>{html.escape(title)}</h1>", *map(_verdict, reports), _table(reports)]
    for name, head, figure in _figures(reports):
        div = figure.to_html(full_html=False, include_plotlyjs=False, default_height="430px")
        parts += [f"<h2>{head}</h2>", f'<p class="how">{HOW[name]}</p>', div]
    script = f"<script>{get_plotlyjs()}</script>"
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>{script}'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _verdict(own: Report) -> str:
    illnesses = own.verdict.illnesses
    kind = "well" if illnesses == [HEALTHY] else "ill"
    rows = [f'<h2>{html.escape(own.name)}: <span class="{kind}">{", ".join(illnesses)}</span></h2><ul>']
    for found in own.verdict.findings:
        tries = "".join(
            f"<li><code>{html.escape(one.option)}</code> {html.escape(one.text)}</li>" for one in found.advice
        )
        said = f"{found.illness}, {found.where} ({found.sure:.0%} sure): {found.text}"
        rows.append(
            f"<li>{html.escape(said)} Shown by <code>{found.figure}</code>. Try:<ul>{tries}</ul></li>"
        )
    if not own.verdict.findings:
        rows.append(f"<li>{html.escape(own.verdict.line)}</li>")
    if own.recommended:
        rows.append(f"<li>recommended: <code>{own.length_option} {own.recommended}</code></li>")
    return "".join(rows) + "</ul>"


def _table(reports: list[Report]) -> str:
    heads = ("model", "layer", "half at lag", "1 % at lag", "largest", "saturated", "still units")
    rows = ["".join(f"<th>{head}</th>" for head in heads)]
    for own in reports:
        for level in own.flow.levels:
            rise, lag = growth(level)
            cells = (
                own.name,
                level.name,
                _lag(level, level.half),
                _lag(level, level.percent),
                "at lag 0" if rise <= 0 else f"{10.0 ** min(rise, 300):.3g} times at {lag}",
                f"{saturation(level):.0%}",
                f"{int(level.unit_still.sum())} of {len(level.unit_still)}",
            )
            rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def _lag(level: LevelFlow, lag: int | None) -> str:
    return f"beyond {len(level.log_relative) - 1}" if lag is None else str(lag)


def _figures(reports: list[Report]) -> list[tuple[str, str, Any]]:
    found = [("lag", "How much gradient is left, by lag", _by_lag(reports))]
    if any(own.flow.parameters for own in reports):
        found.append(("share", "What each lag adds to the recurrent weights", _shares(reports)))
        found.append(("truncation", "What truncation keeps", _truncation(reports)))
    if any(level.line_share is not None for own in reports for level in own.flow.levels):
        found.append(("line", "Along the straight line, and through the gates", _lines(reports)))
    found.append(("map", "Every loss, every lag", _maps(reports)))
    if any(level.gates for own in reports for level in own.flow.levels):
        found.append(("gates", "Gates at their flat ends", _gates(reports)))
    return found


def _named(own: Report, text: str, reports: list[Report]) -> str:
    return f"{own.name}: {text}" if len(reports) > 1 else text


def _by_lag(reports: list[Report]) -> Any:
    figure = go.Figure()
    colors = iter(COLORS * 20)
    for own in reports:
        for level in own.flow.levels:
            color, name = next(colors), _named(own, level.name, reports)
            k = list(range(len(level.log_relative)))
            low, high = (_power(level.log_quantiles[n] - level.log_mean[0]) for n in (1, 3))
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
                y=_power(np.where(level.log_relative < FLOOR, np.nan, level.log_relative)),
                name=name,
                line={"color": color},
                legendgroup=name,
                hovertemplate="lag %{x}: %{y:.3g}",
            )
    for share, name in ((0.5, "half"), (0.01, "1 %")):
        figure.add_hline(y=share, line={"dash": "dot", "color": "grey", "width": 1})
        place = {"x": 1, "xref": "paper", "y": np.log10(share)}  # notes count in powers of ten
        figure.add_annotation(text=name, showarrow=False, yanchor="bottom", xanchor="right", **place)
    figure.update_yaxes(type="log", exponentformat="power", title="share of the gradient at lag 0")
    return _axes(figure, "lag k: steps back from the loss")


def _shares(reports: list[Report]) -> Any:
    figure = go.Figure()
    for own in reports:
        for parameter in own.flow.parameters:
            hidden = None if "weight_hh" in parameter.name else "legendonly"
            y = (100 * parameter.lag_share.cumsum()).round(3).tolist()
            figure.add_scatter(y=y, name=_named(own, parameter.name, reports), visible=hidden or True)
    figure.update_yaxes(title="% of the whole gradient, in its direction")
    return _axes(figure, "lag k")


def _truncation(reports: list[Report]) -> Any:
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
                name=_named(own, text, reports),
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
    return _axes(figure, "n steps")


def _lines(reports: list[Report]) -> Any:
    figure = go.Figure()
    for own in reports:
        for level in own.flow.levels:
            if level.line_share is not None:
                y = (100 * level.line_share).round(3).tolist()
                figure.add_scatter(y=y, name=_named(own, level.name, reports))
    figure.update_yaxes(title="% on the straight line")
    return _axes(figure, "lag k")


def _maps(reports: list[Report]) -> Any:
    levels = [(_named(own, level.name, reports), level.map) for own in reports for level in own.flow.levels]
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
    return _axes(figure, "step t of the loss")


def _gates(reports: list[Report]) -> Any:
    figure = go.Figure()
    names, shut, opened, units = [], [], [], []
    for own in reports:
        for level in own.flow.levels:
            for gate, use in level.gates.items():
                names.append(_named(own, f"{level.name}, {level.gate_name(gate)}", reports))
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
    return _axes(figure, "% of units and steps")


COLORS = ["#1f5fa8", "#d1495b", "#2e933c", "#8e5ea2", "#e08e45", "#3aa6b9"]


def _axes(figure: Any, title: str) -> Any:
    figure.update_xaxes(title=title)
    figure.update_layout(template="plotly_white", colorway=COLORS, margin={"t": 40, "l": 70, "r": 20})
    return figure


def _thinned(n: int) -> Any:
    return np.unique(np.linspace(0, n - 1, min(n, MOST)).round().astype(int))


def _power(logs: Any) -> list[float | None]:
    values = np.clip(np.nan_to_num(logs, nan=np.nan, neginf=FLOOR, posinf=300), FLOOR, 300)
    return [None if np.isnan(v) else float(f"{10.0**v:.5g}") for v in values]
