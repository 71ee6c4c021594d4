"""Whether engine calls slow PyTorch's own operations between them: a matrix product alone, and taking turns.

Both teams of threads live in one process; what one leaves spinning or evicts, the other pays for.
"""

import time
from statistics import median

import numpy as np
import torch

from backtime import kernels
from backtime.reference.weights import Weights
from benchmarks import common

SIZES = ((256, 20), (1024, 20))  # rows and columns of the product, steps of the layer
HEAD = [
    "product",
    "alone, us",
    "after the engine, us",
    "ratio",
    "engine alone, us",
    "after torch, us",
    "ratio",
]
NOTES = """\
A square float32 product by PyTorch, and a forward and backward pass of an LSTM (B = 32, I = H = 128) by the
engine: each by itself, and in turns without a pause, call by call. Medians of {rounds} rounds of {calls}
calls of each kind, the kinds taking turns, with a pause of 20 ms between them; the first call of each is not
counted."""


def layer_step(T: int) -> common.Side:
    random = np.random.default_rng(1)

    def floats(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(np.float32) / 16

    weights = Weights(floats(512, 128), floats(512, 128), floats(512), floats(512))
    x, dy = floats(T, 32, 128), floats(T, 32, 128)

    def step() -> None:
        tape = kernels.forward("lstm", x, None, weights)[2]
        kernels.backward(tape, dy, None, last_use=True)

    return step


def product(size: int) -> common.Side:
    a, b = torch.randn(size, size), torch.randn(size, size)
    return lambda: torch.mm(a, b)


def measure(sides: list[common.Side], rounds: int, calls: int) -> list[list[float]]:
    """Seconds of every call of both sides: the first alone, the second alone, each of the two in turns."""
    times: list[list[float]] = [[], [], [], []]
    for _ in range(rounds):
        for n, side in enumerate(sides):
            time.sleep(common.PAUSE)
            times[n] += [common.once(side) for _ in range(calls)][1:]
        time.sleep(common.PAUSE)
        turns = [[common.once(side) for side in sides] for _ in range(calls)][1:]
        for n in range(len(sides)):
            times[2 + n] += [turn[n] for turn in turns]
    return times


def main() -> None:
    args = common.parser(__doc__).parse_args()
    common.use_threads(args.threads)
    rounds, calls = (5, 20) if args.quick else (30, 50)
    rows = []
    for size, T in SIZES:
        torch_alone, engine_alone, torch_turns, engine_turns = (
            1e6 * median(found) for found in measure([product(size), layer_step(T)], rounds, calls)
        )
        cells = [f"{size} x {size}"]
        for alone, turns in ((torch_alone, torch_turns), (engine_alone, engine_turns)):
            cells += [f"{alone:.0f}", f"{turns:.0f}", f"{turns / alone:.2f}"]
        rows.append(cells)
    notes = NOTES.format(rounds=rounds, calls=calls)
    common.report("Alternating with PyTorch", notes, common.table(HEAD, rows), args.write)


if __name__ == "__main__":
    main()
