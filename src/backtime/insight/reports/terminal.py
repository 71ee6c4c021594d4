"""A report for the terminal: the verdict, one table of layers, what truncation leaves."""

from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from backtime.insight.measures import LevelFlow
from backtime.insight.reports.report import Report
from backtime.insight.verdict.figures import growth, saturation
from backtime.insight.verdict.findings import HEALTHY

BARS = "▁▂▃▄▅▆▇█"


def summary(report: Report) -> Group:
    """What ``backtime flow`` prints."""
    flow = report.flow
    parts: list[Any] = [_title(report), *_findings(report), "", layers([report])]
    if flow.truncation is not None:
        parts += ["", truncation([report])]
    if flow.spectra:
        parts += ["", _spectra(report)]
    if flow.gap is not None:
        parts.append(
            f"check: the lags add up to the gradient of backpropagation within {flow.gap:.0e} of its norm"
        )
    return Group(*parts)


def comparison(before: Report, after: Report) -> Group:
    """Two models side by side."""
    both = [before, after]
    parts: list[Any] = [part for own in both for part in (_title(own), *_findings(own))]
    parts += ["", layers(both)]
    if all(own.flow.truncation is not None for own in both):
        parts += ["", truncation(both)]
    return Group(*parts)


def layers(reports: list[Report]) -> Table:
    """One row for each layer, of each model."""
    caption = (
        "half, 1 %: the lag by which the gradient has fallen to that. by lag: its size, 1e-4 to 1, lags on a "
        "log scale. line: share that came on the straight line of cell or state, by lag 8. flat: gates at "
        "their flat ends. still: units that never move."
    )
    table = Table(
        title="gradient through time",
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    several = len(reports) > 1
    for name in (["model"] if several else []) + [
        "layer",
        "half",
        "1 %",
        "peak",
        "by lag",
        "line",
        "flat",
        "still",
    ]:
        left = name in ("model", "layer", "by lag")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for own in reports:
        for level in own.flow.levels:
            table.add_row(*([own.name] if several else []), *_row(level))
    return table


def truncation(reports: list[Report]) -> Table:
    """Cosine of the truncated with the whole gradient, by sequence length."""
    table = Table(
        title=f"gradient kept with {reports[0].length_option or 'truncation at'} n (cosine with the whole)",
        title_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    lengths = _some(reports[0].flow.truncation.lengths)  # type: ignore[union-attr]
    table.add_column("n", justify="left")
    for n in lengths:
        table.add_column(str(n), justify="right")
    for own in reports:
        found = own.flow.truncation
        assert found is not None
        values = [f"{np.interp(n, found.lengths, found.chunk_cosine):.3f}" for n in lengths]
        table.add_row(own.name if len(reports) > 1 else "cosine", *values)
    return table


def bars(log_relative: Any, width: int = 14) -> str:
    """The curve as bars: one of eight heights for the decades from 1e-4 to 1, lags from 0 on a log scale."""
    lags = np.unique(np.geomspace(1, len(log_relative), width).round().astype(int)) - 1
    values = np.nan_to_num(np.asarray(log_relative)[lags], nan=-9, neginf=-9, posinf=9)
    heights = np.clip((values + 4) / 4 * 7, 0, 7).round().astype(int)
    return "".join(BARS[h] for h in heights)


def _title(report: Report) -> Text:
    flow = report.flow
    well = report.verdict.illnesses == [HEALTHY]
    text = Text(f"{report.name}: ", style="bold")
    text.append(", ".join(report.verdict.illnesses), style="bold green" if well else "bold red")
    text.append(f"   (T = {flow.steps}, B = {flow.sequences}, mean loss {report.mean_loss:.4g})", style="dim")
    return text


def _findings(report: Report) -> list[Text]:
    lines = []
    for own in report.verdict.findings:
        lines.append(Text(f"  {own.illness}, {own.where} ({own.sure:.0%} sure): {own.text} [{own.figure}]"))
        lines += [Text(f"    try {one.option}: {one.text}", style="cyan") for one in own.advice]
    if not lines:
        lines.append(Text(f"  {report.verdict.line}"))
    n, option = report.recommended, report.length_option
    if not option:
        return lines
    if n is not None:
        lines.append(Text(f"  recommended: {option} {n} (keeps 99 % of the gradient's direction)", "cyan"))
    elif report.flow.truncation is not None and report.verdict.illnesses == [HEALTHY]:
        text = f"  no {option} up to {report.flow.steps} keeps 99 % of the gradient: take more --steps"
        lines.append(Text(text, "cyan"))
    return lines


def _row(level: LevelFlow) -> list[str]:
    rise, lag = growth(level)
    most = len(level.log_relative) - 1
    line = "" if level.line_share is None else f"{level.line_share[min(8, most)]:.0%}"
    name = level.name.replace(" layer ", " l").replace(", reverse", " rev")
    return [
        name,
        _lag(level.half, most),
        _lag(level.percent, most),
        "at 0" if rise < 0.05 else f"{10.0 ** min(rise, 300):.2g}x at {lag}",
        bars(level.log_relative),
        line,
        f"{saturation(level):.0%}",
        f"{int(level.unit_still.sum())}/{len(level.unit_still)}",
    ]


def _lag(lag: int | None, most: int) -> str:
    return f"> {most}" if lag is None else str(lag)


def _spectra(report: Report) -> Table:
    table = Table(title="one step, and many", title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for name in ("layer", "singular value: median", "largest", "Lyapunov exponents, nats a step"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    for own in report.flow.spectra:
        some = ", ".join(f"{value:.3g}" for value in own.exponents[:4])
        table.add_row(own.name, f"{own.singular[2]:.3g}", f"{own.singular[4]:.3g}", some)
    return table


def _some(lengths: list[int]) -> list[int]:
    """Powers of two and the last: a table as wide as a terminal."""
    return [n for n in lengths if (n & (n - 1) == 0 and n > 1) or n == lengths[-1]]
