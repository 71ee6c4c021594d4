"""The interactive report: one HTML page that needs no network, drawn by plotly, whose script is inside."""

import html
from typing import Any

from plotly.offline import get_plotlyjs

from backtime.insight.reports.page_curves import by_lag, lines, shares, truncation
from backtime.insight.reports.page_panels import gates, maps
from backtime.insight.reports.page_words import table, verdict
from backtime.insight.reports.report import Report

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
    parts = [f"<h1>{html.escape(title)}</h1>", *map(verdict, reports), table(reports)]
    for name, head, figure in _figures(reports):
        div = figure.to_html(full_html=False, include_plotlyjs=False, default_height="430px")
        parts += [f"<h2>{head}</h2>", f'<p class="how">{HOW[name]}</p>', div]
    script = f"<script>{get_plotlyjs()}</script>"
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>{script}'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _figures(reports: list[Report]) -> list[tuple[str, str, Any]]:
    found = [("lag", "How much gradient is left, by lag", by_lag(reports))]
    if any(own.flow.parameters for own in reports):
        found.append(("share", "What each lag adds to the recurrent weights", shares(reports)))
        found.append(("truncation", "What truncation keeps", truncation(reports)))
    if any(level.line_share is not None for own in reports for level in own.flow.levels):
        found.append(("line", "Along the straight line, and through the gates", lines(reports)))
    found.append(("map", "Every loss, every lag", maps(reports)))
    if any(level.gates for own in reports for level in own.flow.levels):
        found.append(("gates", "Gates at their flat ends", gates(reports)))
    return found
