"""Both directions at once: a training step against torch.nn's bidirectional layer.

Besides: against two single directions at the same time, on a thread each, which wait for nobody. That is what
two threads can give at best.
"""

import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from backtime import UsageError, kernels
from backtime.reference.weights import Weights
from benchmarks import common
from benchmarks.peers import LAYERS
from benchmarks.points import train_module

SHAPES = [(1, 100, 64), (16, 100, 64), (64, 100, 128), (64, 100, 256), (50, 50, 512)]  # B, T, I = H
TOLERANCE = 1e-4  # float32 sums in two orders, relative to the largest number
HEAD = ["cell B,T,H", "torch ms", "both ms", "torch/both", "two singles ms", "both/singles"]
NOTES = """\
Median milliseconds of a training step (forward and backward, float32, I = H in each direction). both is
`kernels.forward_both` and `backward_both` with {threads} threads; two singles are one direction each on a
thread of its own, at the same time, without adding up their dx."""


def train_both(cell: str, x: np.ndarray, dy: np.ndarray, weights: tuple[Weights, Weights]) -> list[Any]:
    y, _, tape = kernels.forward_both(cell, x, None, weights, backend="native")
    dx, _, dweights = kernels.backward_both(tape, dy, None, last_use=True)
    return [y, dx, *(dw for one in dweights for dw in one if dw is not None)]


def train_single(cell: str, x: np.ndarray, dy: np.ndarray, weights: Weights, reverse: bool) -> list[Any]:
    y, _, tape = kernels.forward(cell, x, None, weights, reverse=reverse, backend="native")
    return [y, *(dw for dw in kernels.backward(tape, dy, None, last_use=True).dweights if dw is not None)]


def train_two(
    team: Executor, cell: str, x: np.ndarray, halves: list[np.ndarray], weights: tuple[Weights, Weights]
) -> list[list[Any]]:
    """The results of the two directions."""
    jobs = zip(halves, weights, (False, True), strict=True)
    calls = [team.submit(train_single, cell, x, dy, one, reverse) for dy, one, reverse in jobs]
    return [call.result() for call in calls]


def make_sides(
    team: Executor, cell: str, B: int, T: int, H: int, threads: int
) -> dict[str, Callable[[], list[Any]]]:
    torch.manual_seed(1)
    stock = LAYERS[cell](H, H, bidirectional=True)
    arrays = [p.detach().numpy() for p in stock.parameters()]
    weights = Weights(*arrays[:4]), Weights(*arrays[4:])
    x, dy = torch.randn(T, B, H).requires_grad_(), torch.randn(T, B, 2 * H)
    array, halves = (
        x.detach().numpy(),
        [np.ascontiguousarray(half) for half in np.split(dy.numpy(), 2, axis=2)],
    )

    def with_threads(n: int, side: Callable[[], list[Any]]) -> list[Any]:
        kernels.set_threads(n)
        return side()

    return {
        "torch": lambda: train_module(stock, x, dy),
        "both": lambda: with_threads(threads, lambda: train_both(cell, array, dy.numpy(), weights)),
        "singles": lambda: with_threads(1, lambda: train_two(team, cell, array, halves, weights)),
    }


def check(name: str, sides: dict[str, Callable[[], list[Any]]]) -> None:
    """Refuse to time sides that disagree."""
    witness = sides["torch"]()
    common.agree(f"{name} both", sides["both"](), witness, TOLERANCE)
    forward, reverse = sides["singles"]()
    y = np.concatenate([forward[0], reverse[0]], axis=2)
    dweights = [*forward[1:], *reverse[1:]]
    common.agree(f"{name} singles", [y, *dweights], [witness[0], *witness[2:]], TOLERANCE)


def measure(
    team: Executor, cell: str, shape: tuple[int, int, int], threads: int, seconds: float
) -> list[str]:
    """A line of the table."""
    name = f"{cell} {','.join(map(str, shape))}"
    sides = make_sides(team, cell, *shape, threads)
    check(name, sides)
    found = common.medians(sides, seconds)
    stock, both, singles = (found[side] for side in ("torch", "both", "singles"))
    cells = [f"{common.ms(stock)}", f"{common.ms(both)}", f"{stock / both:.2f}", f"{common.ms(singles)}"]
    return [name, *cells, f"{both / singles:.2f}"]


def main() -> None:
    args = common.parser(__doc__).parse_args()
    if not hasattr(kernels, "forward_both"):
        print("bidirectional: the engine has no call for both directions", file=sys.stderr)
        return
    common.use_threads(args.threads)
    threads = args.threads or kernels.engine_info()["threads"]
    seconds = args.seconds or (0.1 if args.quick else 0.7)
    rows = []
    with ThreadPoolExecutor(2) as team:
        for cell in LAYERS:
            for shape in SHAPES[:2] if args.quick else SHAPES:
                try:
                    rows.append(measure(team, cell, shape, threads, seconds))
                except UsageError as error:
                    print(f"{cell}: the engine has no both directions: {error}", file=sys.stderr)
                    break
    if rows:
        common.report("Bidirectional", NOTES.format(threads=threads), common.table(HEAD, rows), args.write)


if __name__ == "__main__":
    main()
