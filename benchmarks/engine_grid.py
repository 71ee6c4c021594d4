"""The engine against its peers: one layer, training and inference, one thread and two, over the whole grid.

Peers: ``torch.nn``, JAX (``lax.scan``), ONNX Runtime (inference). Ours: the engine called with NumPy arrays
(``backtime.kernels``), and under autograd (``backtime.nn``). All start from the same weights, input and
upstream gradient, and the gradient of the input is wanted. Before a point is timed, every result of every
side is compared with torch.nn in float64. Each number of threads has a process of its own, on so many cores.
"""

import argparse
import json
import sys
from typing import Any

from benchmarks import children, common, grid_tables, plots
from benchmarks.peak import peak_gflops
from benchmarks.points import GRID, check, make_point
from benchmarks.sides import PEERS, make_sides, peers

__all__ = ["GRID", "check", "make_point"]

NOTES = """\
Median milliseconds of forward and backward (training) and of forward alone (inference), float32, I = H; each
number of threads in a process that has so many cores. torch is torch.nn, jax a scan over a fused cell, onnx
ONNX Runtime; kernels is backtime called with NumPy arrays, nn backtime under PyTorch's autograd. GFLOP/s and
share of peak are those of kernels; a forward pass counts 2 G H (I+H) B T, training three times that. The peak
is that of multiply-adds on registers (`benchmarks.peak`). The last columns are the time of the best peer over
ours: above 1 backtime is faster.

![share of the peak at every point](plots/grid.svg)"""


def shape(text: str) -> tuple[int, int, int]:
    """``B,T,H`` of the command line."""
    numbers = text.split(",")
    if len(numbers) != 3 or not all(n.isdecimal() and int(n) for n in numbers):
        raise argparse.ArgumentTypeError(f"expected B,T,H, three numbers from 1 on; got {text!r}")
    B, T, H = map(int, numbers)
    return B, T, H


def work(args: argparse.Namespace, seconds: float, threads: int) -> dict[str, Any]:
    """What the process of one number of threads measures: ``threads``, ``peak``, ``times`` of every point."""
    common.use_threads(threads)
    times: dict[str, dict[str, dict[str, float]]] = {"training": {}, "inference": {}}
    peak = peak_gflops(threads, 0.2 if args.quick else 2.0)
    for cell in args.cells.split(","):
        for B, T, H in args.shapes or (GRID[:4] if args.quick else GRID):
            name = f"{cell} {B},{T},{H}"
            for mode, sides in make_sides(make_point(cell, B, T, H), threads).items():
                found = common.medians(sides, seconds)
                times[mode][name] = found
                print(threads, mode, *grid_tables.row(name, mode, found, peak), file=sys.stderr, flush=True)
    peak = max(peak, peak_gflops(threads, 0.2 if args.quick else 2.0))  # the clock may have risen since
    return {"threads": threads, "peak": peak, "times": times}


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--cells", default="rnn,gru,lstm", metavar="NAMES", help="default: rnn,gru,lstm")
    options.add_argument("--shapes", type=shape, nargs="+", metavar="B,T,H", help="default: the grid")
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
    counts = (args.threads,) if args.threads else common.thread_counts()
    runs = [children.run("engine_grid", words, threads) for threads in counts]
    if args.write:
        plots.draw_grid(runs)
    common.report("One layer", NOTES, grid_tables.tables(runs), args.write)


if __name__ == "__main__":
    main()
