"""Units over the characters of a text, coloured: for the terminal, and as a page."""

import html

from rich.console import Group
from rich.table import Table
from rich.text import Text

from backtime.insight.units.following import Unit, Units, shade

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em }
pre { font: 14px/1.5 ui-monospace, monospace; white-space: pre-wrap; border: 1px solid #ddd; padding: .7em }
"""
ROWS = 12  # lines of text in the terminal


def table(found: Units) -> Table:
    """The units, the best followers first."""
    own = Table(
        title=f"units of layer {found.layer} ({found.part}) and what they follow", title_justify="left"
    )
    for name in ("unit", "follows", "correlation"):
        own.add_column(name, justify="left" if name == "follows" else "right")
    for unit in found.units:
        own.add_row(str(unit.number), unit.follows, f"{unit.correlation:+.2f}")
    return own


def shown(found: Units, most: int = 3) -> Group:
    """The table, and the beginning of the text under the first units: blue below zero, red above."""
    return Group(table(found), *[_coloured(found, unit) for unit in found.units[:most]])


def page(name: str, found: Units) -> str:
    """A page of its own; what the model expected next shows under the pointer."""
    title = html.escape(f"{name}: units of layer {found.layer} ({found.part})")
    how = "Red is above zero, blue below. Under the pointer: what the model expected after that character."
    parts = [f"<h1>{title}</h1><p>{how}</p>"]
    parts += [_block(found, unit) for unit in found.units]
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def terminal_style(value: float) -> str:
    """Of a value from -1, blue, to 1, red."""
    rest = 255 - round(170 * abs(value))
    return "black on " + (f"rgb(255,{rest},{rest})" if value > 0 else f"rgb({rest},{rest},255)")


def css_color(value: float) -> str:
    """The same for a page."""
    return f"rgba({'200,30,30' if value > 0 else '30,60,200'},{abs(value) * 0.7:.2f})"


def _coloured(found: Units, unit: Unit) -> Text:
    text = Text(f"\nunit {unit.number}, {unit.follows} ({unit.correlation:+.2f})\n", style="bold")
    lines = 0
    for symbol, value in zip(found.symbols, shade(unit.values), strict=True):
        text.append(symbol, style=terminal_style(value))
        lines += symbol == "\n"
        if lines == ROWS:
            break
    return text


def _block(found: Units, unit: Unit) -> str:
    spans = []
    for symbol, value, after in zip(found.symbols, shade(unit.values), found.following, strict=True):
        told = "next: " + ", ".join(f"{other!r} {share:.0%}" for other, share in after)
        style = f"background:{css_color(value)}"
        spans.append(f'<span style="{style}" title="{html.escape(told)}">{html.escape(symbol)}</span>')
    return f"<h2>unit {unit.number}: {unit.follows} ({unit.correlation:+.2f})</h2><pre>{''.join(spans)}</pre>"
