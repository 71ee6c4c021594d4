"""The picture of a survey: a bar for each cell and remedy, as long as the delay that it solved."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from backtime.insight.reports.pictures import COLORS, drawn
from backtime.long_dependencies.survey import Survey
from backtime.long_dependencies.table import NO_SUCH, caption, entry, title

__all__ = ["drawn", "picture"]

BAR = 0.8  # of the height of a remedy's place, for the bars of all cells


def picture(found: Survey) -> Figure:
    """Remedies from the top down, cells by colour, the delay on a log scale; what each bar says beside it."""
    plan = found.plan
    rows, cells = [own.name for own in plan.own_remedies], plan.own_cells
    figure = Figure(figsize=(9, 1.9 + 0.17 * len(rows) * (len(cells) + 1)), layout="constrained")
    axes = figure.subplots()
    start = plan.own_delays[0] / 2  # where the axis begins: a log scale has no 0
    for number, cell in enumerate(cells):
        height = BAR / len(cells)
        at = np.arange(len(rows)) - BAR / 2 + (number + 0.5) * height
        signs = [entry(found, cell, own) for own in rows]
        lengths = [max(start, found.reach(cell, own).solved) - start for own in rows]
        axes.barh(at, lengths, height, left=start, color=COLORS[number], label=cell)
        for place, length, sign in zip(at, lengths, signs, strict=True):
            if sign != NO_SUCH:
                _say(axes, start + length, place, sign, COLORS[number])
    _frame(axes, rows, start, plan.own_delays)
    axes.set_title(title(found), loc="left", fontsize=11)
    figure.supxlabel(textwrap.fill(caption(found), 110), fontsize=8, color="dimgrey", x=0.01, ha="left")
    return figure


def _say(axes: Any, x: float, y: float, sign: str, color: str) -> None:
    axes.annotate(sign, (x, y), (3, 0), textcoords="offset points", va="center", fontsize=8, color=color)


def _frame(axes: Any, rows: list[str], start: float, delays: list[int]) -> None:
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(start, delays[-1] * 1.5)
    axes.set_xticks(delays, [f"{delay:,}" for delay in delays])
    axes.minorticks_off()
    axes.set_xlabel("delay T, steps")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
