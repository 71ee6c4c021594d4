"""Milliseconds of a training step in a loop as people write it: `torch.nn`, compiled or not, and backtime.

Every side runs benchmarks/user_loop.py in a process of its own with nothing set; the processes take turns. A
round goes through all points, so that a busy phase of the machine falls into one round of many points and not
into all of one.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import children, common
from benchmarks.loop_points import CELLS, KINDS, MOST_DRAWN, SEED, drawn, listed, name
from benchmarks.plots import draw_ratios
from benchmarks.user_loop import LIBRARIES, Point

# Sums in another order: a rounding of float32 (6e-8) grown by the first steps of Adam; 2e-7 was seen.
TOLERANCE = 1e-5
KEYS = ("ms", "mean", "slow", "processors")
Times = dict[Point, dict[str, dict[str, Any]]]
NOTES = """\
Median milliseconds of a whole step (embedding, layer, dropout, linear, cross-entropy, backward, clipping,
Adam), from {rounds} processes a side that took turns{conditions}. {setting}
"mean" is the mean step, "slow" the slowest hundredth, "processors" our processor time over wall time.
Losses of the first steps agreed to {tolerance:.0e} before. The last columns are their time over ours: above 1
backtime is faster."""


def run_process(library: str, point: Point, args: argparse.Namespace) -> dict[str, Any]:
    """One side at one point, in a process of its own."""
    words = [library, *map(str, point), "--seconds", str(args.seconds)]
    words += ["--set-threads", str(args.threads)] if args.threads else []
    return children.run("user_loop", words, isa=args.isa)


def check(point: Point, losses: dict[str, list[float]]) -> None:
    """Refuse to report sides that train another model."""
    for library, found in losses.items():
        common.agree(f"{point}: losses of {library}", [found], [losses["torch"]], TOLERANCE)


def measure(chosen: list[Point], libraries: list[str], args: argparse.Namespace) -> Times:
    """Medians over the rounds of what the processes print; torch.compile, slow to begin, has one round."""
    found: dict[Point, dict[str, list[Any]]] = {p: {library: [] for library in libraries} for p in chosen}
    for n in range(args.rounds):
        for point in chosen:
            for library in libraries:
                if n == 0 or library != "compiled":
                    found[point][library].append(run_process(library, point, args))
            if n == 0:
                check(point, {library: runs[0]["losses"] for library, runs in found[point].items()})
            print(f"round {n + 1}: {name(point)}", file=sys.stderr, flush=True)
    return {
        point: {
            library: {key: statistics.median(one[key] for one in runs) for key in KEYS}
            for library, runs in sides.items()
        }
        for point, sides in found.items()
    }


@contextlib.contextmanager
def busy(wanted: bool) -> Iterator[None]:
    """With ``wanted``, a process that spins on each core meanwhile."""
    cores = sorted(os.sched_getaffinity(0)) if wanted else []
    spin = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
    spinning = [subprocess.Popen([sys.executable, "-c", spin, str(core)]) for core in cores]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def rows(times: Times, kind: str) -> list[list[str]]:
    """A line of the table for each point of this kind."""
    lines = []
    for point, sides in times.items():
        if point.kind == kind:
            ours, theirs = sides["backtime"], sides["torch"]
            line = [name(point), *(common.ms(side["ms"] / 1e3) for side in sides.values())]
            line += [common.ms(side[key] / 1e3) for key in ("mean", "slow") for side in (theirs, ours)]
            ratios = [sides[name]["ms"] / ours["ms"] for name in sides if name != "backtime"]
            lines.append([*line, f"{ours['processors']:.2f}", *(f"{ratio:.2f}" for ratio in ratios)])
    return lines


def summary(times: Times) -> str:
    """Geometric mean and least of the ratios over torch.nn, for each cell and kind."""
    lines = []
    for cell, kind in dict.fromkeys((point.cell, point.kind) for point in times):
        sides = [sides for point, sides in times.items() if (point.cell, point.kind) == (cell, kind)]
        by = {key: [one["torch"][key] / one["backtime"][key] for one in sides] for key in KEYS[:3]}
        means = [statistics.geometric_mean(by[key]) for key in ("ms", "mean")]
        each = [*means, *(min(ratios) for ratios in by.values())]
        lines.append([f"{cell} {kind}", len(sides), *(f"{ratio:.2f}" for ratio in each)])
    head = ["over torch.nn", "shapes", "geometric mean of medians", "of means"]
    return common.table([*head, "least of medians", "of means", "of slow steps"], lines)


def arguments() -> argparse.Namespace:
    """What the command line says, rounds and seconds filled in."""
    options = common.parser(__doc__)
    options.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options.add_argument("--isa", help="the highest instruction set of all sides, such as avx2")
    options.add_argument("--busy", action="store_true", help="with a process that spins on each core")
    options.add_argument("--compiled", action="store_true", help="torch.compile of torch.nn too")
    options.add_argument("--random", type=int, metavar="N", help="so many shapes drawn at random instead")
    options.add_argument("--rounds", type=int, metavar="N", help="processes of a side at a point")
    args = options.parse_args()
    if args.random is not None and not 1 <= args.random <= MOST_DRAWN:
        options.error(f"--random is {args.random}; expected 1 to {MOST_DRAWN}")
    if args.rounds is not None and args.rounds < 1:
        options.error(f"--rounds is {args.rounds}; expected a number from 1")
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.seconds = args.seconds or (1.0 if args.quick else 1.5)
    return args


def conditions(args: argparse.Namespace) -> str:
    """Of the title: what else than a quiet machine and nothing set."""
    return "".join(
        f", {words}"
        for holds, words in (
            (args.busy, "a process spinning on each core"),
            (args.threads, f"torch.set_num_threads({args.threads}) on both sides"),
            (args.compiled, "torch.compile too"),
            (args.random, f"shapes drawn at random (seed {SEED})"),
        )
        if holds
    )


def plot_name(args: argparse.Namespace, isa: str) -> str:
    marks = (args.busy and "busy", args.threads, args.compiled and "compiled", args.random and "random")
    return "-".join(["own_loop", isa, *(str(mark) for mark in marks if mark)])


def tables(times: Times, libraries: list[str]) -> list[str]:
    """The summary, then every point, a table for each kind."""
    head = ["B,T,H,layers,V", *libraries, "torch mean", "ours", "torch slow", "ours", "processors"]
    head += [f"{library}/ours" for library in libraries if library != "backtime"]
    kinds = dict.fromkeys(point.kind for point in times)
    return [summary(times), *(f"**{kind}**\n\n{common.table(head, rows(times, kind))}" for kind in kinds)]


def main() -> None:
    args = arguments()
    libraries = [library for library in LIBRARIES if library != "compiled" or args.compiled]
    of = args.cells, args.kinds
    chosen = drawn(args.random, *of) if args.random else listed(*of, args.quick)
    with busy(args.busy):
        times = measure(chosen, libraries, args)
    isa = args.isa or common.kernels.engine_info()["isa"]
    parts = tables(times, libraries)
    if args.write:
        ratios = {f"{name(p)} {p.kind}": s["torch"]["ms"] / s["backtime"]["ms"] for p, s in times.items()}
        draw_ratios(ratios, plot_name(args, isa))
        parts.insert(0, f"![their time over ours](plots/{plot_name(args, isa)}.svg)")
    hidden = f"Instruction sets above {isa} are hidden from both sides; nothing else is set."
    setting = hidden if args.isa else "No environment variable is set."
    notes = NOTES.format(
        rounds=args.rounds, conditions=conditions(args), setting=setting, tolerance=TOLERANCE
    )
    title = f"In a loop of one's own{conditions(args)}, {isa}"
    common.report(title, notes, "\n\n".join(parts), args.write, isa)


if __name__ == "__main__":
    main()
