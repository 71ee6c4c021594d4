"""The engine against torch.nn: one layer, forward and backward, at the points of the grid.

Three sides: ``torch.nn``; the engine called with NumPy arrays (``backtime.kernels``); the engine under
autograd (``backtime.nn``). All start from the same weights, input and upstream gradient, and the gradient of
the input is wanted. Before a point is timed, every output and gradient is compared with torch.nn in float64.
"""

import sys
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import backtime.nn
from backtime import kernels
from backtime.reference.weights import Weights
from benchmarks import common
from benchmarks.peers import GATES, LAYERS

GRID = [  # B, T, I = H
    (1, 100, 32),
    (1, 100, 128),
    (16, 100, 64),
    (32, 35, 200),
    (64, 100, 128),
    (64, 100, 256),
    (50, 50, 512),
    (128, 50, 512),
    (64, 50, 1024),
]
OURS = {"rnn": backtime.nn.RNN, "gru": backtime.nn.GRU, "lstm": backtime.nn.LSTM}
HEAD = ["cell B,T,H", "torch ms", "kernels ms", "nn ms", "GFLOP/s", "of peak", "torch/kernels", "torch/nn"]
NOTES = """\
Median milliseconds of forward and backward (training) and of forward alone (inference), float32, I = H.
GFLOP/s and share of peak are those of the `kernels` column; a forward pass counts 2 G H (I+H) B T,
training three times that. The peak is the best float32 matrix product of PyTorch in this process:
{peak:.0f} GFLOP/s."""


class Point(NamedTuple):
    """What both sides compute at one point of the grid."""

    cell: str
    x: Tensor  # (T, B, H), its gradient wanted
    dy: Tensor  # (T, B, H)
    stock: torch.nn.Module
    ours: torch.nn.Module

    def arrays(self) -> tuple[np.ndarray, np.ndarray, Weights]:
        """x, dy and the weights for ``backtime.kernels``."""
        weights = Weights(*(p.detach().numpy() for p in self.stock.parameters()))
        return self.x.detach().numpy(), self.dy.numpy(), weights


def make_point(cell: str, B: int, T: int, H: int) -> Point:
    torch.manual_seed(1)
    stock, ours = LAYERS[cell](H, H), OURS[cell](H, H)
    ours.load_state_dict(stock.state_dict())
    x = torch.randn(T, B, H).requires_grad_()
    return Point(cell, x, torch.randn(T, B, H), stock, ours)


def train_module(layer: torch.nn.Module, x: Tensor, dy: Tensor) -> list[Any]:
    """Output, then the gradients of x and of the parameters."""
    layer.zero_grad()
    x.grad = None
    y = layer(x)[0]
    y.backward(dy)
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters())]


def train_kernels(cell: str, x: np.ndarray, dy: np.ndarray, weights: Weights) -> list[Any]:
    y, _, tape = kernels.forward(cell, x, None, weights)
    assert tape is not None
    found = kernels.backward(tape, dy, None)
    return [y, found.dx, *found.dweights[:4]]


def infer(layer: torch.nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        layer(x)


def check(point: Point) -> None:
    """Refuse to time sides that disagree.

    The error of each result, relative to its largest number and measured against float64, may be twice that
    of torch.nn's own float32, plus 2e-6: some ten roundings, for results that torch happens to hit exactly.
    """
    H = point.x.shape[2]
    double = LAYERS[point.cell](H, H).double()
    double.load_state_dict(point.stock.state_dict())
    truth = train_module(double, point.x.detach().double().requires_grad_(), point.dy.double())
    peer = _errors(train_module(point.stock, point.x, point.dy), truth)
    sides = {
        "kernels": train_kernels(point.cell, *point.arrays()),
        "nn": train_module(point.ours, point.x, point.dy),
    }
    for side, results in sides.items():
        for i, (error, allowed) in enumerate(zip(_errors(results, truth), peer, strict=True)):
            if not error <= 2 * allowed + 2e-6:
                name = ("y", "dx", "dWx", "dWh", "dbx", "dbh")[i]
                raise SystemExit(
                    f"{point.cell} {tuple(point.x.shape)}: {name} of {side} is off by {error:.1e}, "
                    f"torch by {allowed:.1e}; nothing is timed"
                )


def _errors(results: list[Any], truth: list[Tensor]) -> list[float]:
    pairs = zip(results, (t.numpy() for t in truth), strict=True)
    return [float(np.abs(np.asarray(r, np.float64) - t).max() / np.abs(t).max()) for r, t in pairs]


def peak_gflops(seconds: float = 2.0) -> float:
    """The most that this process gets out of the processor: the best of many float32 matrix products."""
    n = 2048
    a, b = torch.randn(n, n), torch.randn(n, n)
    out, best = torch.empty(n, n), 0.0
    for _ in range(max(5, round(seconds * 10))):
        best = max(best, 2e-9 * n**3 / common.once(lambda: torch.mm(a, b, out=out)))
    return best


def train_row(point: Point, peak: float, seconds: float) -> list[object]:
    arrays = point.arrays()
    found = common.medians(
        {
            "torch": lambda: train_module(point.stock, point.x, point.dy),
            "kernels": lambda: train_kernels(point.cell, *arrays),
            "nn": lambda: train_module(point.ours, point.x, point.dy),
        },
        seconds,
    )
    return _row(point, found, 3, peak)


def infer_row(point: Point, peak: float, seconds: float) -> list[object]:
    x, _, weights = point.arrays()
    found = common.medians(
        {
            "torch": lambda: infer(point.stock, point.x),
            "kernels": lambda: kernels.forward(point.cell, x, None, weights, save=False),
            "nn": lambda: infer(point.ours, point.x),
        },
        seconds,
    )
    return _row(point, found, 1, peak)


def _row(point: Point, found: dict[str, float], passes: int, peak: float) -> list[object]:
    T, B, H = point.x.shape
    speed = passes * 2e-9 * GATES[point.cell] * H * 2 * H * B * T / found["kernels"]
    return [
        f"{point.cell} {B},{T},{H}",
        *(f"{found[side] * 1e3:.3g}" for side in ("torch", "kernels", "nn")),
        f"{speed:.0f}",
        f"{speed / peak:.0%}",
        *(f"{found['torch'] / found[side]:.2f}" for side in ("kernels", "nn")),
    ]


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--cells", default="rnn,gru,lstm", metavar="NAMES", help="default: rnn,gru,lstm")
    args = options.parse_args()
    common.use_threads(args.threads)
    seconds, grid = (0.1, GRID[:4]) if args.quick else (0.7, GRID)
    peak = peak_gflops(seconds)
    rows: dict[str, list[list[object]]] = {"training": [], "inference": []}
    for cell in args.cells.split(","):
        for B, T, H in grid:
            point = make_point(cell, B, T, H)
            check(point)
            rows["training"].append(train_row(point, peak, seconds))
            rows["inference"].append(infer_row(point, peak, seconds))
            print(*rows["training"][-1], file=sys.stderr)
    tables = "\n\n".join(f"**{name}**\n\n{common.table(HEAD, found)}" for name, found in rows.items())
    common.report("One layer", NOTES.format(peak=peak), tables, args.write)


if __name__ == "__main__":
    main()
