"""The engine against its peers: one layer, training and inference, one thread and two, over the whole grid.

Peers: ``torch.nn``, JAX (``lax.scan``), ONNX Runtime (inference). Ours: the engine called with NumPy arrays
(``backtime.kernels``), and under autograd (``backtime.nn``). All start from the same weights, input and
upstream gradient, and the gradient of the input is wanted. Before anything is timed, every result of every
side is compared with torch.nn in float64. Each number of threads has a process of its own, on so many cores.
With ``--isa`` all sides use no instruction set above the one named, but ONNX Runtime and JAX's matrix
products, which cannot be told.
"""

import argparse
import json
import os
import sys
from typing import Any

from backtime import kernels
from benchmarks import children, common, grid_tables, plots
from benchmarks.common import Side
from benchmarks.peak import peak_gflops
from benchmarks.points import GRID, check, make_point
from benchmarks.sides import PEERS, make_sides, peers

__all__ = ["GRID", "check", "make_point"]

QUICK = [(1, 100, 32), (16, 100, 64), (32, 35, 200)]
MODES = ("training", "inference")
NOTES = """\
Median milliseconds of forward and backward (training) and of forward alone (inference), float32, I = H; each
number of threads in a process that has so many cores. torch is torch.nn, jax a scan over a fused cell, onnx
ONNX Runtime; kernels is backtime called with NumPy arrays, nn backtime under PyTorch's autograd. GFLOP/s and
share of peak are those of kernels; a forward pass counts 2 G H (I+H) B T, training three times that. The peak
is that of multiply-adds on registers (`benchmarks.peak`), on the same instruction set. The last columns are
the time of the best peer over ours: above 1 backtime is faster.{hidden}

![share of the peak at every point](plots/{plot}.svg)"""
HIDDEN = """ Instruction sets above {isa} are hidden from all but ONNX Runtime
and JAX's matrix products, which have no switch for it."""


def shape(text: str) -> tuple[int, int, int]:
    """``B,T,H`` of the command line."""
    numbers = text.split(",")
    if len(numbers) != 3 or not all(n.isdecimal() and int(n) for n in numbers):
        raise argparse.ArgumentTypeError(f"expected B,T,H, three numbers from 1 on; got {text!r}")
    B, T, H = map(int, numbers)
    return B, T, H


def work(args: argparse.Namespace, seconds: float, threads: int) -> dict[str, Any]:
    """What the process of one number of threads measures: ``threads``, ``isa``, ``peak`` and ``times``."""
    common.use_threads(threads)
    lasts = 0.2 if args.quick else 2.0
    peak = peak_gflops(threads, lasts)
    points: dict[str, dict[str, Side]] = {}
    for cell in args.cells.split(","):
        for B, T, H in args.shapes or (QUICK if args.quick else GRID):
            name = f"{cell} {B},{T},{H}"
            print(threads, name, "compared", file=sys.stderr, flush=True)
            for mode, sides in make_sides(make_point(cell, B, T, H), threads).items():
                points[f"{mode} {name}"] = sides
    found = common.interleaved(points, seconds)
    peak = max(peak, peak_gflops(threads, lasts))  # the clock may have risen since
    times: dict[str, dict[str, dict[str, float]]] = {mode: {} for mode in MODES}
    for point, each in found.items():
        mode, name = point.split(" ", 1)
        times[mode][name] = each
        print(threads, mode, *grid_tables.row(name, mode, each, peak), file=sys.stderr, flush=True)
    return {"threads": threads, "isa": kernels.engine_info()["isa"], "peak": peak, "times": times}


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--cells", default="rnn,gru,lstm", metavar="NAMES", help="default: rnn,gru,lstm")
    options.add_argument("--shapes", type=shape, nargs="+", metavar="B,T,H", help="default: the grid")
    options.add_argument(
        "--isa",
        choices=("baseline", "avx2", "avx512", "neon"),
        default=os.environ.get("BACKTIME_ISA") or None,
        help="the instruction set of all sides (default: BACKTIME_ISA, or the best that the machine has)",
    )
    options.add_argument("--work", action="store_true", help=argparse.SUPPRESS)  # what the processes are told
    args = options.parse_args()
    seconds = args.seconds or (0.1 if args.quick else 0.5)
    if args.work:
        print(json.dumps(work(args, seconds, args.threads)))
        return
    for missing in set(PEERS) - set(peers()):
        print(
            f"{missing} is not installed: its column stays empty (pip install backtime[bench])",
            file=sys.stderr,
        )
    words = ["--work", "--cells", args.cells, "--seconds", str(seconds), *(["--quick"] if args.quick else [])]
    if args.shapes:
        words += ["--shapes", *(",".join(map(str, point)) for point in args.shapes)]
    counts = (args.threads,) if args.threads else common.thread_counts()[-1 if args.quick else 0 :]
    runs = [children.run("engine_grid", words, threads, args.isa) for threads in counts]
    show(runs, args.isa, args.write)


def show(runs: list[dict[str, Any]], isa: str | None, write: bool) -> None:
    """The section of these runs, and with ``write`` their plot; a named instruction set has its own."""
    plot = f"grid-{isa}" if isa else "grid"
    if write:
        plots.draw_grid(runs, name=plot)
    hidden = "\n" + HIDDEN.format(isa=isa).strip() if isa in children.HIDDEN else ""
    notes = NOTES.format(hidden=hidden, plot=plot)
    title = f"One layer, {isa}" if isa else "One layer"
    common.report(title, notes, grid_tables.tables(runs), write, runs[0]["isa"])


if __name__ == "__main__":
    main()
