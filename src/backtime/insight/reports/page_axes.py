"""What the figures of the page have in common."""

from typing import Any

import numpy as np

from backtime.insight.reports.report import Report

FLOOR = -12.0  # decades: what is lower is not drawn
COLORS = ["#1f5fa8", "#d1495b", "#2e933c", "#8e5ea2", "#e08e45", "#3aa6b9"]


def named(own: Report, text: str, reports: list[Report]) -> str:
    """With the model, where there are two."""
    return f"{own.name}: {text}" if len(reports) > 1 else text


def axes(figure: Any, title: str) -> Any:
    """The same look for every figure."""
    figure.update_xaxes(title=title)
    figure.update_layout(template="plotly_white", colorway=COLORS, margin={"t": 40, "l": 70, "r": 20})
    return figure


def power(logs: Any) -> list[float | None]:
    """Powers of ten for JSON, within what a float holds; None for NaN."""
    values = np.clip(np.nan_to_num(logs, nan=np.nan, neginf=FLOOR, posinf=300), FLOOR, 300)
    return [None if np.isnan(v) else float(f"{10.0**v:.5g}") for v in values]
