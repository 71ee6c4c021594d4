"""The picture of a run: losses over the tokens read, drawn with matplotlib (the optional extra ``plots``)."""

import io
from pathlib import Path
from typing import Any

from backtime.errors import UsageError
from backtime.files import atomic_write


def draw_curves(metrics: list[dict[str, Any]], folder: Path) -> str | None:
    """Write ``curves.svg`` and ``curves.png`` into ``folder``; returns why not, or None when all is well."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        return "no curves are drawn without matplotlib: pip install 'backtime[plots]'"
    matplotlib.use("agg")  # no window
    if not metrics:
        return None
    figure = _figure(metrics)
    try:
        for kind in ("svg", "png"):
            picture = io.BytesIO()
            figure.savefig(picture, format=kind, dpi=120)
            with atomic_write(folder / f"curves.{kind}") as file:
                file.write(picture.getvalue())
    except UsageError as error:  # the run itself is safe on the disk by now
        return f"no curves are drawn: {error}"
    return None


def _figure(metrics: list[dict[str, Any]]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot(*_axes(metrics, "loss"), label="training", linewidth=1)
    upper.plot(*_axes(metrics, "val_loss"), label="validation", marker=".")
    upper.set_ylabel("loss (nats a token)")
    upper.legend()
    lower.plot(*_axes(metrics, "grad_norm"), label="gradient norm", linewidth=1)
    lower.plot(*_axes(metrics, "lr"), label="learning rate", linewidth=1)
    lower.set_yscale("log")
    lower.set_xlabel("tokens")
    lower.legend()
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure


def _axes(metrics: list[dict[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Tokens and values of the lines that have the value."""
    points = [(line["tokens"], line[name]) for line in metrics if line[name] is not None]
    return [x for x, _ in points], [y for _, y in points]
