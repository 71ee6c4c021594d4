"""Memory of a training step at every point of the grid: its peak, and the pages it asks for anew each time.

Sides: ``backtime.nn`` and ``torch.nn``, each point of each side in a process of its own.
"""

import argparse
import gc
import json
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import children, common
from benchmarks.peers import LAYERS
from benchmarks.points import GRID, OURS

SIDES = ("torch", "nn")
WARM = 3  # steps after which pools and allocators have what they need
HEAD = ["cell B,T,H", "torch MB", "nn MB", "nn/torch", "own torch MB", "own nn MB", "own nn/torch"]
HEAD += ["torch faults", "nn faults"]
NOTES = """\
Peak resident memory of training steps (forward and backward, float32) above what the process held after its
imports: weights, input, upstream gradient, all results and all scratch are in it, and what the libraries set
up at their first call. The own columns are above what it held after a tiny first step. Faults: minor page
faults of a step, the mean over steps that follow {warm} warm ones."""


def resident(name: str) -> float:
    """``VmRSS`` (now) or ``VmHWM`` (the most since the last ``forget_peak``) in MB."""
    found = re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e6


def forget_peak() -> None:
    """Let VmHWM begin again at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def work(side: str, name: str, seconds: float, threads: int | None) -> dict[str, float]:
    """What the process of one side measures at one point: ``megabytes`` and ``faults``."""
    common.use_threads(threads)
    cell, shape = name.split()
    B, T, H = map(int, shape.split(","))
    gc.collect()
    forget_peak()
    before = resident("VmRSS")
    torch.manual_seed(1)
    layers = LAYERS if side == "torch" else OURS
    stepper(layers[cell], 2, 2, 8)()
    gc.collect()
    started = resident("VmRSS")
    step = stepper(layers[cell], T, B, H)
    for _ in range(WARM):
        step()
    faults, steps, start = _faults(), 0, time.perf_counter()
    while steps < 3 or (time.perf_counter() - start < seconds and steps < 100):
        step()
        steps += 1
    peak, anew = resident("VmHWM"), (_faults() - faults) / steps
    return {"megabytes": peak - before, "own": peak - started, "faults": anew}


def stepper(kind: type[torch.nn.Module], T: int, B: int, H: int) -> Callable[[], None]:
    """A training step of a new layer."""
    layer = kind(H, H)
    x, dy = torch.randn(T, B, H).requires_grad_(), torch.randn(T, B, H)

    def step() -> None:
        layer.zero_grad()
        x.grad = None
        layer(x)[0].backward(dy)

    return step


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def row(name: str, found: dict[str, dict[str, float]]) -> list[str]:
    cells = [name]
    for what in ("megabytes", "own"):
        theirs, ours = (found[side][what] for side in SIDES)
        cells += [f"{theirs:.1f}", f"{ours:.1f}", f"{ours / theirs:.2f}" if theirs else "-"]
    return cells + [f"{found[side]['faults']:,.0f}" for side in SIDES]


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--cells", default="rnn,gru,lstm", metavar="NAMES", help="default: rnn,gru,lstm")
    options.add_argument("--work", help=argparse.SUPPRESS)  # the point and
    options.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)  # the side of a process
    args = options.parse_args()
    seconds = args.seconds or 0.5
    if args.work:
        print(json.dumps(work(args.side, args.work, seconds, args.threads)))
        return
    rows = []
    for cell in args.cells.split(","):
        for B, T, H in GRID[:3] if args.quick else GRID:
            name = f"{cell} {B},{T},{H}"
            words = ["--work", name, "--seconds", str(seconds), "--side"]
            rows.append(
                row(name, {side: children.run("step_memory", [*words, side], args.threads) for side in SIDES})
            )
            print(*rows[-1], file=sys.stderr)
    common.report("Memory of a step", NOTES.format(warm=WARM), common.table(HEAD, rows), args.write)


if __name__ == "__main__":
    main()
