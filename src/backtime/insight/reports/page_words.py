"""What the page says in words: the verdict of each model, and the table of layers."""

import html

from backtime.insight.measures import LevelFlow
from backtime.insight.reports.report import Report
from backtime.insight.verdict.figures import growth, saturation
from backtime.insight.verdict.findings import HEALTHY


def verdict(own: Report) -> str:
    """As a list: each illness with what to try."""
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


def table(reports: list[Report]) -> str:
    """One row for each layer."""
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
