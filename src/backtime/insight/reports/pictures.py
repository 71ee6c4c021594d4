"""The picture of a report, or of two: drawn with matplotlib, as PNG and SVG."""

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from backtime.insight.measures import Flow
from backtime.insight.reports.report import Report

COLORS = ("#1f5fa8", "#d1495b", "#2e933c", "#8e5ea2", "#e08e45", "#3aa6b9")
FLOOR = -8.0  # decades: what is lower is drawn there


def picture(reports: list[Report]) -> Figure:
    """Four panels: the gradient by lag, what each lag adds, what truncation keeps, the gates."""
    figure = Figure(figsize=(12, 8.5), layout="constrained")
    axes = figure.subplots(2, 2)
    title = "\n".join(f"{own.name}: {own.verdict.line}" for own in reports)
    figure.suptitle(_wrapped(title, 130), fontsize=11, x=0.01, ha="left")
    _by_lag(axes[0, 0], reports)
    _shares(axes[0, 1], reports)
    _truncation(axes[1, 0], reports)
    _gates(axes[1, 1], reports)
    for own in axes.flat:
        own.spines[["top", "right"]].set_visible(False)
        own.grid(alpha=0.25)
    return figure


def drawn(figure: Figure, kind: str) -> bytes:
    """The bytes of a ``"png"`` or ``"svg"``."""
    out = io.BytesIO()
    figure.savefig(out, format=kind, dpi=120)
    return out.getvalue()


def _by_lag(axes: Any, reports: list[Report]) -> None:
    """Relative to lag 0, with the middle half of losses and sequences."""
    color = 0
    for own in reports:
        for level in own.flow.levels:
            k = np.arange(len(level.log_relative))
            start = level.log_mean[0]
            axes.plot(
                k,
                np.where(level.log_relative < FLOOR, np.nan, level.log_relative),
                color=COLORS[color % 6],
                label=_label(own, level.name, reports),
            )
            low, high = _floored(level.log_quantiles[1] - start), _floored(level.log_quantiles[3] - start)
            axes.fill_between(k, low, high, color=COLORS[color % 6], alpha=0.15, linewidth=0)
            color += 1
    for share, name in ((0.5, "half"), (0.01, "1 %")):
        axes.axhline(np.log10(share), color="grey", linewidth=0.8, linestyle=":")
        axes.annotate(
            name,
            (1, np.log10(share)),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=8,
            color="grey",
        )
    needs = next((own.needs for own in reports if own.needs), None)
    if needs:
        axes.axvline(needs, color="grey", linewidth=0.8, linestyle=":", label=f"needed: {needs}")
    axes.set_title("How much of the gradient is left k steps back", fontsize=10, loc="left")
    axes.set_xlabel("lag k, steps back from the loss (band: middle half of losses)")
    axes.set_ylabel("|dE_t/dh_(t-k)| over that at lag 0")
    bottom, top = axes.get_ylim()
    ticks = np.unique(np.linspace(np.floor(max(bottom, FLOOR)), np.ceil(top), 8).round())
    axes.set_yticks(ticks, [f"1e{int(n)}" for n in ticks])
    axes.legend(fontsize=8, frameon=False)


def _shares(axes: Any, reports: list[Report]) -> None:
    """Of the recurrent weights of each layer, the running sum of what lags up to k add."""
    color = 0
    for own in reports:
        for parameter in own.flow.parameters:
            if "weight_hh" in parameter.name:
                k = np.arange(len(parameter.lag_share))
                axes.plot(
                    k,
                    100 * parameter.lag_share.cumsum(),
                    color=COLORS[color % 6],
                    label=_label(own, parameter.name, reports),
                )
                color += 1
    axes.axhline(100, color="grey", linewidth=0.8, linestyle=":")
    axes.set_title("What lags 0 to k add to the gradient of the recurrent weights", fontsize=10, loc="left")
    axes.set_xlabel("lag k")
    axes.set_ylabel("% of the whole gradient, in its direction")
    axes.legend(fontsize=8, frameon=False)


def _truncation(axes: Any, reports: list[Report]) -> None:
    for color, own in enumerate(reports):
        found = own.flow.truncation
        if found is None:
            continue
        axes.plot(
            found.lengths,
            found.chunk_cosine,
            marker="o",
            markersize=3,
            color=COLORS[color],
            label=_label(own, "chunks of n steps, as train has them", reports),
        )
        axes.plot(
            found.lengths,
            found.cosine,
            color=COLORS[color],
            linestyle="--",
            linewidth=1,
            label=_label(own, "every loss goes back n steps", reports),
        )
        if own.recommended:
            axes.axvline(own.recommended, color=COLORS[color], alpha=0.5)
            axes.annotate(
                f"recommended: {own.recommended}",
                (own.recommended, 0.02),
                xycoords=("data", "axes fraction"),
                fontsize=8,
                color=COLORS[color],
                rotation=90,
                va="bottom",
                ha="left",
            )
        if own.seq_length:
            axes.axvline(own.seq_length, color="grey", linestyle=":")
            axes.annotate(
                f"trained with {own.seq_length}",
                (own.seq_length, 0.02),
                fontsize=8,
                color="grey",
                xycoords=("data", "axes fraction"),
                rotation=90,
                va="bottom",
                ha="right",
            )
    axes.set_xscale("log", base=2)
    lengths = reports[0].flow.truncation.lengths if reports[0].flow.truncation else [1]
    ticks = [n for n in lengths if n & (n - 1) == 0]
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.set_title(
        f"What {reports[0].length_option or 'truncation at'} n keeps of the gradient's direction",
        fontsize=10,
        loc="left",
    )
    axes.set_xlabel("n steps")
    axes.set_ylabel("cosine with the whole gradient")
    axes.legend(fontsize=8, framealpha=0.8, edgecolor="none", loc="upper left")
    low = axes.get_ylim()[0]
    axes.set_ylim(top=1 + (1 - low) * 0.16 * len(reports))  # the names stand above the curves
    axes.set_yticks([own for own in axes.get_yticks() if low <= own <= 1])


def _gates(axes: Any, reports: list[Report]) -> None:
    """Shares of units and steps at either flat end of each gate."""
    names, closed, opened = [], [], []
    for own in reports:
        for level in own.flow.levels:
            for gate, use in level.gates.items():
                names.append(_label(own, f"{_short(own.flow, level.name)}, {level.gate_name(gate)}", reports))
                closed.append(100 * float(use.closed.mean()))
                opened.append(100 * float(use.open.mean()))
    place = np.arange(len(names))[::-1]
    axes.barh(place, closed, color=COLORS[0], label="shut (or at the lower end)")
    axes.barh(place, opened, left=closed, color=COLORS[4], label="open (or at the upper end)")
    axes.set_yticks(place, names, fontsize=8)
    axes.set_xlim(0, 100)
    axes.set_title("Gates at their flat ends", fontsize=10, loc="left")
    axes.set_xlabel("% of units and steps")
    axes.legend(fontsize=8, frameon=False)


def _short(flow: Flow, name: str) -> str:
    return name if len({level.module for level in flow.levels}) > 1 else name[name.index("layer") :]


def _label(own: Report, text: str, reports: list[Report]) -> str:
    return f"{own.name}: {text}" if len(reports) > 1 else text


def _floored(logs: Any) -> Any:
    return np.clip(np.nan_to_num(logs, nan=FLOOR, neginf=FLOOR, posinf=300), FLOOR, 300)


def _wrapped(text: str, width: int) -> str:
    import textwrap

    return "\n".join(piece for line in text.split("\n") for piece in textwrap.wrap(line, width))
