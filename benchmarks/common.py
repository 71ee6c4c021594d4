"""What the benchmarks share: options, the machine, timing fair to both sides, tables, the results file."""

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backtime import kernels

RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("backtime", "torch", "numpy", "jax", "onnxruntime")
PAUSE = 0.02  # seconds between the sides: OpenMP threads spin for milliseconds after their work is done
LONG = 0.2  # seconds of a call beside which what the side before left in caches and threads is nothing
Side = Callable[[], object]


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument(
        "--threads", type=int, metavar="N", help="of both sides (default: what each takes by itself)"
    )
    options.add_argument(
        "--seconds", type=float, metavar="X", help="measuring time of each side at each point"
    )
    options.add_argument("--quick", action="store_true", help="a rough look: fewer points, shorter runs")
    options.add_argument("--write", action="store_true", help=f"put the table into {RESULTS.name}")
    return options


def use_threads(threads: int | None) -> None:
    """Give the engine, and PyTorch where it is loaded, so many threads; None leaves their defaults."""
    if threads is None:
        return
    kernels.set_threads(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


def thread_counts() -> tuple[int, ...]:
    """One thread and two, where there are two cores."""
    return tuple(range(1, min(2, len(os.sched_getaffinity(0))) + 1))


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def machine(isa: str | None = None) -> str:
    """One line: processor, cores, instruction set (the engine's, or the one that was measured), versions."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    processor = found[1].strip() if found else platform.processor() or platform.machine()
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES if installed(name)]
    cores = len(os.sched_getaffinity(0))
    isa = isa or kernels.engine_info()["isa"] or "no engine"
    return f"{processor}, {cores} cores, {isa}; Python {platform.python_version()}, {', '.join(versions)}"


def medians(sides: dict[str, Side], seconds: float) -> dict[str, float]:
    """Median seconds of one call of each side: ``interleaved`` with one point."""
    return interleaved({"": sides}, seconds)[""]


def interleaved(points: dict[str, dict[str, Side]], seconds: float) -> dict[str, dict[str, float]]:
    """Median seconds of one call of each side at each point, ``{point: {side: seconds}}``.

    Points and sides take turns: a round is one turn of every side at every point, so that a busy phase of
    the machine falls into some turns of all points and not into one point. A turn of a short call is some
    calls in a row after one that only warms up; a call of ``LONG`` seconds or more is a turn by itself.
    ``PAUSE`` comes before each turn. There are three rounds at least, and as many as give each side
    ``seconds`` at each point on average.
    """
    sides = [(point, side) for point in points for side in points[point]]
    calls = {(point, side): _calls_in_turn(once(points[point][side])) for point, side in sides}
    times: dict[tuple[str, str], list[float]] = {key: [] for key in sides}
    rounds, start = 0, time.perf_counter()
    while rounds < 3 or time.perf_counter() - start < seconds * len(sides):
        for point, side in sides:
            time.sleep(PAUSE)
            warm, counted = calls[point, side]
            times[point, side] += [once(points[point][side]) for _ in range(warm + counted)][warm:]
        rounds += 1
    return {p: {side: statistics.median(times[p, side]) for side in points[p]} for p in points}


def _calls_in_turn(seconds: float) -> tuple[int, int]:
    """How many calls only warm up, and how many count."""
    return (0, 1) if seconds >= LONG else (1, max(2, min(200, round(0.05 / seconds))))


def once(side: Side) -> float:
    start = time.perf_counter()
    side()
    return time.perf_counter() - start


def agree(name: str, results: Sequence[Any], witness: Sequence[Any], tolerance: float) -> None:
    """Refuse to time a side whose results differ from the witness's, relative to their largest number."""
    for i, (found, expected) in enumerate(zip(results, witness, strict=True)):
        a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
        error = float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))
        if a.shape != b.shape or not error <= tolerance:
            raise SystemExit(f"{name}: result {i} is off by {error:.1e}; nothing is timed")


def ms(seconds: float) -> str:
    """Milliseconds with three digits, or all that stand before the point."""
    found = seconds * 1e3
    return f"{found:.3g}" if found < 1000 else f"{found:,.0f}"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, its columns aligned for the terminal; all but the first are numbers."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in [cells[0], rule, *cells[1:]]:
        aligned = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        lines.append(f"| {' | '.join(aligned)} |")
    return "\n".join(lines)


def report(title: str, notes: str, tables: str, write: bool, isa: str | None = None) -> None:
    """Print the section; with ``write``, put it into RESULTS.md in place of its last version."""
    words = ["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]
    given = shlex.join(word for word in words if word != "--write")
    date = time.strftime("%Y-%m-%d")
    section = f"## {title}\n\n`{given}`, {date}: {machine(isa)}.\n\n{notes.strip()}\n\n{tables.strip()}\n"
    print(section, flush=True)
    if write:
        old = RESULTS.read_text() if RESULTS.exists() else "# Results\n\nWritten by `make bench`.\n"
        RESULTS.write_text(_with_section(old, title, section))


def _with_section(text: str, title: str, section: str) -> str:
    head, *parts = (part.strip("\n") + "\n" for part in re.split(r"(?m)^(?=## )", text))
    sections = {part.splitlines()[0]: part for part in parts} | {f"## {title}": section}
    return "\n".join([head, *sections.values()])
