"""The steps that decided, coloured: for the terminal, and as a page."""

import html

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from backtime.insight.decisions.attribution import Decision
from backtime.insight.measures import Floats
from backtime.insight.units.following import shade
from backtime.insight.units.shown import MOST, STYLE, css_color, terminal_style

WIDE = 2  # symbols at least so long have a space between them
FIRST = 2  # steps that the table names
SHOWN = 12  # answers whose steps the terminal colours


def table(found: list[Decision]) -> Table:
    """One row for each answer, with its probability: what added most to its score, by both figures; their
    correlation; and, where a model looks, what the answer looked at most.
    """
    own = Table(title="which steps decided", title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    looks = any(one.attention is not None for one in found)
    for name in ("answer", "sure", "gradient x input", "occlusion", "agree", *["attention"] * looks):
        own.add_column(name, justify="right" if name in ("sure", "agree") else "left")
    for one in found:
        most = (_most(one, values) for values in (one.gradient, one.occlusion))
        look = [] if not looks else [_most(one, one.attention)]
        own.add_row(one.answer, _sure(one), *most, f"{one.agreement:+.2f}", *look)
    return own


def shown(found: list[Decision]) -> Group:
    """The table, and the first sequences: red spoke for the answer, blue against it, by occlusion."""
    if not found:
        return Group(Text("which steps decided: no answer was given"))
    left = len(found) - SHOWN
    rest = [Text(f"\nand {left:,} more in steps.html", style="dim")] if left > 0 else []
    return Group(table(found), *map(_coloured, found[:SHOWN]), *rest)


def page(name: str, found: list[Decision]) -> str:
    """A page of its own; the figures of a step show under the pointer."""
    title = html.escape(f"{name}: which steps decided")
    how = (
        "Red spoke for the answer, blue against it: how much of its score is lost without that step "
        "(occlusion), and what gradient times input estimates of it. Under the pointer: both figures."
    )
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    body = f"<h1>{title}</h1><p>{how}</p>" + "".join(map(_block, found))
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _most(one: Decision, values: Floats | None) -> str:
    if values is None:
        return ""
    order = (-values).argsort(kind="stable")[:FIRST]
    return ", ".join(f"{one.steps[t]} {values[t]:+.2f}" for t in order)


def _space(one: Decision) -> str:
    return " " if max(map(len, one.steps)) >= WIDE else ""


def _coloured(one: Decision) -> Text:
    text = Text(f"\n{_title(one)}\n", style="bold")
    for step, value in zip(one.steps[:MOST], shade(one.occlusion), strict=False):
        text.append(step, style=terminal_style(value))
        text.append(_space(one))
    return text


def _sure(one: Decision) -> str:
    return "" if one.probability is None else f"{one.probability:.2f}"


def _title(one: Decision) -> str:
    return one.answer if one.probability is None else f"{one.answer} ({_sure(one)})"


def _block(one: Decision) -> str:
    parts = {"occlusion": one.occlusion, "gradient times input": one.gradient}
    if one.attention is not None:
        parts["attention"] = one.attention
    return f"<h2>{html.escape(_title(one))}</h2>" + "".join(
        f"<p>{name}</p><pre>{_spans(one, values)}</pre>" for name, values in parts.items()
    )


def _spans(one: Decision, values: Floats) -> str:
    told = zip(one.steps, shade(values), one.gradient, one.occlusion, strict=True)
    return _space(one).join(
        f'<span style="background:{css_color(value)}" title="gradient {g:+.3g}, occlusion {o:+.3g}">'
        f"{html.escape(step)}</span>"
        for step, value, g, o in told
    )
