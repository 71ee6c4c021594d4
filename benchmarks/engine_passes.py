"""Forward and backward passes of the engine in a process without PyTorch: what `two_processes` runs.

On its own team, where `user_loop` has it on PyTorch's threads. Prints the median milliseconds of both.
"""

import argparse
import json
import statistics
import sys
import time

import numpy as np

from backtime import kernels

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def passes(cell: str, B: int, T: int, H: int, layers: int, seconds: float) -> float:
    """Median milliseconds of the passes of a stack."""
    random = np.random.default_rng(0)

    def draw(*shape: int) -> kernels.Array:
        return (0.1 * random.standard_normal(shape)).astype(np.float32)

    G = GATES[cell]
    stack = [kernels.Weights(draw(G * H, H), draw(G * H, H), draw(G * H), draw(G * H)) for _ in range(layers)]
    x, dy = draw(T, B, H), draw(T, B, H)

    def step() -> None:
        y, tapes = x, []
        for weights in stack:
            y, _, tape = kernels.forward(cell.lower(), y, None, weights)
            tapes.append(tape)
        gradient = dy
        for tape in reversed(tapes):
            assert tape is not None
            gradient = kernels.backward(tape, gradient, None, last_use=True).dx

    times, start = [], time.perf_counter()
    while (now := time.perf_counter()) - start < seconds:
        step()
        times.append(time.perf_counter() - now)
    return 1e3 * statistics.median(times)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("point", nargs="+", metavar="CELL B T H LAYERS")
    options.add_argument("--seconds", type=float, default=2.0)
    args = options.parse_args()
    cell, B, T, H, layers = args.point[0], *map(int, args.point[1:5])
    ms = passes(cell, B, T, H, layers, args.seconds)
    assert "torch" not in sys.modules
    print(json.dumps({"ms": ms, "team": kernels.engine_info()["team"]}))


if __name__ == "__main__":
    main()
