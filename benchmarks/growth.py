"""How the cost of a training step grows: with T, B, H of an LSTM layer and V of an output layer.

A cost that grows as the work does is a level line: time for each token, or, where the work of a token itself
grows (H, V), time for each floating-point operation. Sides: ``backtime.nn`` and ``torch.nn``.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

import backtime.nn
from benchmarks import common, plots
from benchmarks.points import train_module

TOLERANCE = 1e-3  # of float32 sums over up to 100,000 steps in two orders, relative to the largest number
HEAD = ["point", "torch ms", "nn ms", "torch/nn", "torch each", "nn each", "unit"]
NOTES = """\
Median milliseconds of a training step, float32, and what it is for each token, or each floating-point
operation, of it. LSTM layers: T with B = 1, H = 64; B with T = 20, H = 64; H with B = 8, T = 5. Output layer
with softmax and cross-entropy: V with 256 rows, H = 128; torch is linear and cross_entropy. All results of
both sides agreed within {tolerance:.0e} of their largest number before timing.

![cost against size](plots/growth.svg)"""
SIZES = {
    "T": (100, 1000, 10_000, 100_000),
    "B": (1, 4, 16, 64, 256, 1024, 4096),
    "H": (64, 128, 256, 512, 1024, 2048, 4096),
    "V": (1000, 10_000, 50_000, 200_000),
}
UNITS = {"T": "ns/token", "B": "ns/token", "H": "ps/flop", "V": "ps/flop"}


class Case(NamedTuple):
    """The calls of both sides at one size, and the units of work in one: tokens, or thousands of flops."""

    sides: dict[str, Callable[[], list[Any]]]
    units: float


def make_case(letter: str, size: int) -> Case:
    torch.manual_seed(1)
    if letter == "V":
        return _head(size)
    T, B, H = {"T": (size, 1, 64), "B": (20, size, 64), "H": (5, 8, size)}[letter]
    stock, ours = nn.LSTM(H, H), backtime.nn.LSTM(H, H)
    ours.load_state_dict(stock.state_dict())
    x, dy = torch.randn(T, B, H).requires_grad_(), torch.randn(T, B, H)
    units = T * B if letter in "TB" else 3 * 2 * 4 * H * 2 * H * B * T / 1e3
    return Case({"torch": lambda: train_module(stock, x, dy), "nn": lambda: train_module(ours, x, dy)}, units)


def _head(V: int, R: int = 256, H: int = 128) -> Case:
    stock, ours = nn.Linear(H, V), backtime.nn.SoftmaxCrossEntropy(H, V)
    ours.load_state_dict(stock.state_dict())
    h, targets = torch.randn(R, H).requires_grad_(), torch.randint(V, (R,))

    def step(layer: nn.Module, loss: Callable[[], torch.Tensor]) -> list[Any]:
        layer.zero_grad()
        h.grad = None
        found = loss()
        found.backward()
        return [found.detach(), h.grad, *(p.grad for p in layer.parameters())]

    sides = {
        "torch": lambda: step(stock, lambda: functional.cross_entropy(stock(h), targets)),
        "nn": lambda: step(ours, lambda: ours(h, targets)),
    }
    return Case(sides, 3 * 2 * R * H * V / 1e3)


def measure(letter: str, size: int, seconds: float) -> dict[str, Any]:
    """Seconds of a step of each side, and each for a unit of work."""
    case = make_case(letter, size)
    common.agree(f"{letter} = {size}", case.sides["nn"](), case.sides["torch"](), TOLERANCE)
    times = common.medians(case.sides, seconds)
    return {"times": times, "each": {side: time * 1e9 / case.units for side, time in times.items()}}


def row(letter: str, size: int, found: dict[str, Any]) -> list[str]:
    times, each = found["times"], found["each"]
    return [
        f"{letter} = {size:,}",
        *(f"{common.ms(times[side])}" for side in ("torch", "nn")),
        f"{times['torch'] / times['nn']:.2f}",
        *(f"{each[side]:.3g}" for side in ("torch", "nn")),
        UNITS[letter],
    ]


def main() -> None:
    args = common.parser(__doc__).parse_args()
    common.use_threads(args.threads)
    seconds = args.seconds or (0.05 if args.quick else 0.5)
    found = {
        letter: {size: measure(letter, size, seconds) for size in (sizes[:2] if args.quick else sizes)}
        for letter, sizes in SIZES.items()
    }
    rows = [row(letter, size, point) for letter, line in found.items() for size, point in line.items()]
    print(f"{len(rows)} points measured", file=sys.stderr)
    if args.write:
        plots.draw_growth(
            {letter: {s: p["each"] for s, p in line.items()} for letter, line in found.items()}, UNITS
        )
    common.report("Growth", NOTES.format(tolerance=TOLERANCE), common.table(HEAD, rows), args.write)


if __name__ == "__main__":
    main()
