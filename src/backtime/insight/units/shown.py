"""Units over the steps of a sequence, coloured: for the terminal, and as a page."""

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
MOST = 600  # steps there
WIDE = 3  # names of steps that are longer have a space between them, which those of characters have not


def table(found: Units) -> Table:
    """The units, the best followers first."""
    title = f"{_title(found)} and what they follow, {len(found.symbols):,} steps"
    own = Table(title=title, title_justify="left")
    for name in ("unit", "follows", "correlation"):
        own.add_column(name, justify="left" if name == "follows" else "right")
    for unit in found.units:
        own.add_row(str(unit.number), unit.follows, f"{unit.correlation:+.2f}")
    return own


def shown(found: Units, most: int = 3) -> Group:
    """The table, and the beginning of the sequences under the first units: blue below zero, red above."""
    return Group(table(found), *[_coloured(found, unit) for unit in found.units[:most]])


def page(name: str, found: Units) -> str:
    """A page of its own; under the pointer the activation and, of a text, what the model expected next."""
    title = html.escape(f"{name}: {_title(found)}")
    how = "Red is above zero, blue below. Under the pointer: the activation"
    how += ", and what the model expected after that character." if found.following else "."
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


def _space(found: Units) -> str:
    """What stands between the names of steps: nothing between characters, or in a text, which has its own."""
    longest = max((len(step.rstrip("\n")) for step in found.symbols), default=0)
    return " " if longest >= WIDE and not found.following else ""


def _title(found: Units) -> str:
    layer = "the top layer" if found.layer is None else f"layer {found.layer}"
    return f"units of {layer} ({found.part})"


def _coloured(found: Units, unit: Unit) -> Text:
    text = Text(f"\nunit {unit.number}, {unit.follows} ({unit.correlation:+.2f})\n", style="bold")
    lines, between = 0, _space(found)
    for symbol, value in zip(found.symbols[:MOST], shade(unit.values), strict=False):
        text.append(symbol, style=terminal_style(value))
        text.append("" if symbol.endswith("\n") else between)
        lines += symbol.endswith("\n")
        if lines == ROWS:
            break
    return text


def _block(found: Units, unit: Unit) -> str:
    spans, between = [], _space(found)
    following = found.following or [[]] * len(found.symbols)
    rows = zip(found.symbols, unit.values, shade(unit.values), following, strict=True)
    for symbol, value, colour, after in rows:
        told = f"{value:+.3g}"
        if after:
            told += "; next: " + ", ".join(f"{other!r} {share:.0%}" for other, share in after)
        style = f"background:{css_color(colour)}"
        name = html.escape(symbol) + ("" if symbol.endswith("\n") else between)
        spans.append(f'<span style="{style}" title="{html.escape(told)}">{name}</span>')
    return f"<h2>unit {unit.number}: {unit.follows} ({unit.correlation:+.2f})</h2><pre>{''.join(spans)}</pre>"
