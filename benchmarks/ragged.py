"""Sequences of unequal lengths, packed: a training step against torch.nn with a ``PackedSequence``.

Besides: does the time follow the sum of the lengths? The same number of rows as sequences of equal length, in
as many steps, is the measure.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from backtime import UsageError, kernels
from backtime.reference.weights import Weights
from benchmarks import common
from benchmarks.peers import LAYERS

SHAPES = [(32, 100, 64), (64, 100, 128), (64, 100, 256), (32, 50, 512)]  # B, T, I = H
TOLERANCE = 1e-4  # float32 sums in two orders, relative to the largest number
HEAD = ["cell B,T,H", "rows", "torch ms", "kernels ms", "torch/kernels", "equal lengths", "a row, over equal"]
NOTES = """\
Median milliseconds of a training step (forward and backward, float32, I = H). Lengths are uniform in 1 to T;
rows is their sum. torch is torch.nn with a PackedSequence. Equal lengths: kernels with as many rows (to the
nearest whole sequence) in T steps; the last column is the time for a row over that."""


def batch_sizes(B: int, T: int) -> np.ndarray:
    """How many sequences are still there at each step: the layout of PackedSequence."""
    lengths = np.random.default_rng(1).integers(1, T, B, endpoint=True)
    return np.array([(lengths > t).sum() for t in range(lengths.max())], np.int64)


def train_torch(layer: torch.nn.Module, x: torch.Tensor, sizes: np.ndarray, dy: torch.Tensor) -> list[Any]:
    layer.zero_grad()
    x.grad = None
    y = layer(PackedSequence(x, torch.from_numpy(sizes)))[0].data
    y.backward(dy)
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters())]


def train_kernels(cell: str, x: np.ndarray, dy: np.ndarray, weights: Weights, **rows: Any) -> list[Any]:
    """``rows`` is ``batch_sizes`` of packed rows, or nothing."""
    y, _, tape = kernels.forward(cell, x, None, weights, backend="native", **rows)
    found = kernels.backward(tape, dy, None, last_use=True)
    return [y, found.dx, *(dw for dw in found.dweights if dw is not None)]


def make_sides(cell: str, B: int, T: int, H: int) -> tuple[dict[str, Callable[[], list[Any]]], int, int]:
    """The calls, and the rows of the packed and of the equal lengths."""
    torch.manual_seed(1)
    stock, sizes = LAYERS[cell](H, H), batch_sizes(B, T)
    weights = Weights(*(p.detach().numpy() for p in stock.parameters()))
    rows, steps = int(sizes.sum()), len(sizes)
    x, dy = torch.randn(rows, H).requires_grad_(), torch.randn(rows, H)
    array, upstream = x.detach().numpy(), dy.numpy()
    equal = np.random.default_rng(2).standard_normal((2, steps, round(rows / steps), H), np.float32)
    sides = {
        "torch": lambda: train_torch(stock, x, sizes, dy),
        "kernels": lambda: train_kernels(cell, array, upstream, weights, batch_sizes=sizes),
        "equal": lambda: train_kernels(cell, equal[0], equal[1], weights),
    }
    return sides, rows, equal.shape[1] * equal.shape[2]


def measure(cell: str, B: int, T: int, H: int, seconds: float) -> list[str]:
    """A line of the table."""
    sides, rows, equal_rows = make_sides(cell, B, T, H)
    name = f"{cell} {B},{T},{H}"
    common.agree(name, sides["kernels"](), sides["torch"](), TOLERANCE)
    found = common.medians(sides, seconds)
    stock, ours, equal = (found[side] for side in ("torch", "kernels", "equal"))
    each = (ours / rows) / (equal / equal_rows)
    return [
        name,
        f"{rows:,}",
        f"{common.ms(stock)}",
        f"{common.ms(ours)}",
        f"{stock / ours:.2f}",
        f"{common.ms(equal)}",
        f"{each:.2f}",
    ]


def main() -> None:
    args = common.parser(__doc__).parse_args()
    common.use_threads(args.threads)
    seconds = args.seconds or (0.1 if args.quick else 0.7)
    rows = []
    for cell in LAYERS:
        for shape in SHAPES[:1] if args.quick else SHAPES:
            try:
                rows.append(measure(cell, *shape, seconds))
            except UsageError as error:
                print(f"{cell}: the engine has no packed rows: {error}", file=sys.stderr)
                break
    if rows:
        common.report("Ragged", NOTES, common.table(HEAD, rows), args.write)


if __name__ == "__main__":
    main()
