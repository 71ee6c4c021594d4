"""The picture of a run: losses over the tokens read, drawn with matplotlib (the optional extra ``plots``)."""

import io
from pathlib import Path
from typing import Any

from backtime.errors import UsageError
from backtime.files import atomic_write
from backtime.training.metrics import Metric

Record = dict[str, Any]  # a line of metrics.jsonl


def draw_curves(lines: list[Record], folder: Path, metrics: tuple[Metric, ...]) -> str | None:
    """Write ``curves.svg`` and ``curves.png`` into ``folder``; returns why not, or None when all is well.

    ``lines`` are those of metrics.jsonl, ``metrics`` what the validations of the run measure.
    """
    try:
        import matplotlib
    except ModuleNotFoundError:
        return "no curves are drawn without matplotlib: pip install matplotlib"
    matplotlib.use("agg")  # no window
    if not lines:
        return None
    figure = _figure(lines, metrics)
    try:
        for kind in ("svg", "png"):
            picture = io.BytesIO()
            figure.savefig(picture, format=kind, dpi=120)
            with atomic_write(folder / f"curves.{kind}") as file:
                file.write(picture.getvalue())
    except UsageError as error:  # the run itself is safe on the disk by now
        return f"no curves are drawn: {error}"
    return None


def _figure(lines: list[Record], metrics: tuple[Metric, ...]) -> Any:
    from matplotlib.figure import Figure

    others = [metric for metric in metrics if metric.name != "loss"]
    unit = next((metric.unit for metric in metrics if metric.name == "loss"), "")
    looks = any("flow_percent" in line for line in lines)  # --flow-every
    n = len(others) + looks
    figure = Figure(figsize=(8, 6 + 1.5 * n), layout="constrained")
    rows = figure.subplots(2 + n, 1, sharex=True, height_ratios=(3, *[1.5] * n, 1))
    rows[0].plot(*_axes(lines, "loss"), label="training", linewidth=1)
    rows[0].plot(*_axes(lines, "val_loss"), label="validation", marker=".")
    rows[0].set_ylabel(f"loss ({unit})" if unit else "loss")
    for axes, metric in zip(rows[1:], others, strict=False):
        axes.plot(*_axes(lines, f"val_{metric.name}"), label="validation", marker=".")
        axes.set_ylabel(f"{metric.name} ({metric.unit})" if metric.unit else metric.name)
    if looks:
        rows[-2].plot(*_axes(lines, "flow_percent"), label="1 % of the gradient is left", marker=".")
        rows[-2].plot(*_axes(lines, "flow_half"), label="half is left", marker=".")
        rows[-2].set_ylabel("steps back")
    rows[-1].plot(*_axes(lines, "grad_norm"), label="gradient norm", linewidth=1)
    rows[-1].plot(*_axes(lines, "lr"), label="learning rate", linewidth=1)
    rows[-1].set_yscale("log")
    rows[-1].set_xlabel("tokens")
    for axes in rows:
        axes.legend()
        axes.grid(alpha=0.3)
    return figure


def _axes(lines: list[Record], name: str) -> tuple[list[float], list[float]]:
    """Tokens and values of the lines that have the value."""
    whole = [line for line in lines if line.get(name) is not None and line.get("tokens") is not None]
    return [line["tokens"] for line in whole], [line[name] for line in whole]
