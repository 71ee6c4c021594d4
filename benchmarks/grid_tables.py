"""From the times of the grid to its tables."""

from typing import Any

from benchmarks import common
from benchmarks.peers import GATES
from benchmarks.sides import OURS, PEERS

PASSES = {"training": 3, "inference": 1}  # forward, and backward which is twice as much
HEAD = ["cell B,T,H", *(f"{side} ms" for side in (*PEERS, *OURS)), "GFLOP/s", "of peak"]
HEAD += ["best peer", "peer/kernels", "peer/nn"]
Times = dict[str, float]  # side: seconds


def flops(name: str, mode: str) -> float:
    """What a point counts, 2 G H (I+H) B T, three times that in training; ``name`` as ``lstm 1,100,32``."""
    cell, shape = name.split()
    B, T, H = map(int, shape.split(","))
    return PASSES[mode] * 2.0 * GATES[cell] * H * 2 * H * B * T


def best_peer(times: Times) -> str:
    return min((side for side in PEERS if side in times), key=lambda side: times[side])


def row(name: str, mode: str, times: Times, peak: float) -> list[str]:
    """One line of the table; a side that did not run is a dash."""
    speed = flops(name, mode) / times["kernels"] / 1e9
    best = best_peer(times)
    return [
        name,
        *(f"{common.ms(times[side])}" if side in times else "-" for side in (*PEERS, *OURS)),
        f"{speed:.0f}",
        f"{speed / peak:.0%}",
        best,
        *(f"{times[best] / times[side]:.2f}" for side in OURS),
    ]


def tables(runs: list[dict[str, Any]]) -> str:
    """A table for each run (number of threads) and mode, under a line that says how many points are won."""
    parts = []
    for run in runs:
        for mode, points in run["times"].items():
            rows = [row(name, mode, times, run["peak"]) for name, times in points.items()]
            behind = [name for name, times in points.items() if times[best_peer(times)] <= times["kernels"]]
            title = f"**{mode}, {threads_in_words(run['threads'])}, {run['isa']}**, "
            title += f"peak {run['peak']:.0f} GFLOP/s; "
            title += f"ahead of every peer at {len(rows) - len(behind)} of {len(rows)} points"
            title += f", behind at {'; '.join(behind)}" if behind else ""
            parts.append(f"{title}\n\n{common.table(HEAD, rows)}")
    return "\n\n".join(parts)


def threads_in_words(threads: int) -> str:
    return "one thread" if threads == 1 else f"{threads} threads"
