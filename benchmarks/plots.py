"""The pictures of the benchmarks, benchmarks/plots/*.svg and *.png."""

from pathlib import Path
from typing import Any

from benchmarks.grid_tables import best_peer, flops, threads_in_words

FOLDER = Path(__file__).with_name("plots")
AHEAD, BEHIND, PEER = "#1a7f4b", "#c62828", "#8a8f98"
MARKS = {"torch": "o", "jax": "s", "onnx": "D"}
NAMES = {"torch": "torch.nn", "jax": "JAX scan", "onnx": "ONNX Runtime"}


def figure(rows: int, columns: int, width: float, height: float) -> Any:
    """(figure, axes) of matplotlib, drawn without a screen."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "backtime"  # the same picture twice is the same file twice
    from matplotlib import pyplot

    made, axes = pyplot.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")
    return made, axes


def save(made: Any, name: str, folder: Path = FOLDER) -> list[Path]:
    """NAME.svg and NAME.png in the folder."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{name}.{kind}" for kind in ("svg", "png")]
    made.savefig(paths[0], metadata={"Date": None})
    made.savefig(paths[1], dpi=110)
    return paths


def draw_grid(runs: list[dict[str, Any]], folder: Path = FOLDER, name: str = "grid") -> list[Path]:
    """Share of the peak at every point: backtime and the best peer, joined by a line.

    The line is green where backtime is ahead, red where it is not; its label is the ratio of the times.
    """
    panels = [(run, mode) for run in runs for mode in run["times"]]
    made, axes = figure(len(runs), len(panels) // len(runs), 13, 0.6 + 6.4 * len(runs))
    for axis, (run, mode) in zip(axes.flat, panels, strict=True):
        _draw_panel(axis, run, mode)
    made.legend(handles=_legend(), loc="outside upper center", ncols=5, frameon=False)
    return save(made, name, folder)


def _draw_panel(axis: Any, run: dict[str, Any], mode: str) -> None:
    points = run["times"][mode]
    for y, (name, times) in enumerate(points.items()):
        best = best_peer(times)
        ours, peer = (100 * flops(name, mode) / times[side] / 1e9 / run["peak"] for side in ("kernels", best))
        colour = AHEAD if ours > peer else BEHIND
        axis.plot([peer, ours], [y, y], color=colour, linewidth=2.5, alpha=0.45, zorder=1)
        axis.plot(peer, y, MARKS[best], color=PEER, markerfacecolor="white", markersize=6)
        axis.plot(ours, y, "o", color=colour, markersize=7)
        axis.text(118, y, f"{ours / peer:.2f}x", va="center", fontsize=8, color=colour)
    axis.set_title(
        f"{mode}, {threads_in_words(run['threads'])}, {run['isa']} (100 % = {run['peak']:.0f} GFLOP/s)"
    )
    axis.set_yticks(range(len(points)), points, fontsize=8)
    axis.set_ylim(len(points) - 0.5, -0.5)
    axis.set_xscale("log")
    axis.set_xlim(min(0.8, 0.9 * axis.dataLim.x0), 115)
    ticks = (1, 3, 10, 30, 100)
    axis.set_xticks(ticks, [f"{tick:g} %" for tick in ticks])
    axis.set_xlabel("share of the peak of multiply-adds")
    axis.grid(axis="x", color="#e3e5e8")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    ours = [
        Line2D([], [], marker="o", color=AHEAD, label="backtime, ahead of every peer (ratio of times)"),
        Line2D([], [], marker="o", color=BEHIND, label="backtime, behind"),
    ]
    style = {"linestyle": "", "color": PEER, "markerfacecolor": "white"}
    return ours + [Line2D([], [], marker=MARKS[p], label=f"best peer: {NAMES[p]}", **style) for p in MARKS]


def draw_growth(
    each: dict[str, dict[int, dict[str, float]]], units: dict[str, str], folder: Path = FOLDER
) -> list[Path]:
    """Cost for each unit of work against each size, both axes logarithmic: level is in proportion."""
    made, axes = figure(1, len(each), 3.6 * len(each), 3.4)
    for axis, (letter, line) in zip(axes.flat, each.items(), strict=True):
        for side, colour in (("torch", PEER), ("nn", AHEAD)):
            costs = [costs[side] for costs in line.values()]
            axis.loglog(list(line), costs, "o-", color=colour, label=NAMES.get(side, "backtime"))
        axis.set_xlabel(letter)
        axis.set_ylabel(units[letter])
        axis.grid(which="both", color="#e3e5e8")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(frameon=False)
    return save(made, "growth", folder)


def draw_ratios(ratios: dict[str, float], name: str, folder: Path = FOLDER) -> list[Path]:
    """The peer's time over ours at each point, the axis logarithmic: right of 1 backtime is faster."""
    made, axes = figure(1, 1, 8, 1 + 0.2 * len(ratios))
    axis, names = axes[0, 0], list(ratios)
    colours = [AHEAD if ratio >= 1 else BEHIND for ratio in ratios.values()]
    axis.hlines(range(len(names)), 1, list(ratios.values()), color=colours, alpha=0.45, linewidth=2.5)
    axis.scatter(list(ratios.values()), range(len(names)), color=colours, zorder=2)
    for y, ratio in enumerate(ratios.values()):
        place = {"xytext": (8, 0), "textcoords": "offset points", "va": "center", "fontsize": 7}
        axis.annotate(f"{ratio:.2f}", (max(ratio, 1), y), **place)
    axis.axvline(1, color=PEER, linewidth=1)
    axis.set_xscale("log")
    axis.set_xticks((0.5, 1, 2, 4, 8, 16), [f"{tick:g}x" for tick in (0.5, 1, 2, 4, 8, 16)])
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlabel("a step with torch.nn over one with backtime.nn")
    axis.spines[["top", "right"]].set_visible(False)
    return save(made, name, folder)
