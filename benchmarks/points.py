"""A point of the grid: what all sides compute there, and the check that ours compute it right."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import backtime.nn
from backtime import kernels
from backtime.reference.weights import Weights
from benchmarks.peers import LAYERS

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
RESULTS = ("y", "dx", "dWx", "dWh", "dbx", "dbh")


class Point(NamedTuple):
    """What all sides compute at one point of the grid."""

    cell: str
    x: Tensor  # (T, B, H), its gradient wanted
    dy: Tensor  # (T, B, H)
    stock: torch.nn.Module
    ours: torch.nn.Module

    def arrays(self) -> tuple[np.ndarray, np.ndarray, Weights]:
        """x, dy and the weights as NumPy arrays."""
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
    found = kernels.backward(tape, dy, None, last_use=True)
    return [y, found.dx, *(dw for dw in found.dweights if dw is not None)]


def infer_module(layer: torch.nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return layer(x)[0]


def truth_of(point: Point) -> list[np.ndarray]:
    """All results in float64, by torch.nn."""
    H = point.x.shape[2]
    double = LAYERS[point.cell](H, H).double()
    double.load_state_dict(point.stock.state_dict())
    found = train_module(double, point.x.detach().double().requires_grad_(), point.dy.double())
    return [tensor.numpy() for tensor in found]


def check(point: Point) -> list[np.ndarray]:
    """Refuse to time sides of ours that are wrong; returns the truth.

    The error of each result, relative to its largest number and measured against float64, may be twice that
    of torch.nn's own float32, plus what n = G H additions in one chain leave: sqrt(n) roundings of 6e-8, and
    2e-6 at least. One chain, in one order, is what makes our results independent of batch and threads;
    torch.nn's products add in several.
    """
    chain = 2.0**-24 * (kernels.GATES[point.cell] * point.x.shape[2]) ** 0.5
    truth = truth_of(point)
    peer = errors(train_module(point.stock, point.x, point.dy), truth)
    allowed = [2 * error + max(2e-6, chain) for error in peer]
    refuse(point, "kernels", train_kernels(point.cell, *point.arrays()), truth, allowed)
    refuse(point, "nn", train_module(point.ours, point.x, point.dy), truth, allowed)
    return truth


def refuse(
    point: Point, side: str, results: list[Any], truth: list[np.ndarray], allowed: list[float]
) -> None:
    """Ends the program when a result of a side is off by more than allowed."""
    for name, error, most in zip(RESULTS, errors(results, truth), allowed, strict=False):
        if not error <= most:
            raise SystemExit(
                f"{point.cell} {tuple(point.x.shape)}: {name} of {side} is off by {error:.1e}, "
                f"allowed are {most:.1e}; nothing is timed"
            )


def errors(results: list[Any], truth: list[np.ndarray]) -> list[float]:
    """Of each result the largest error, relative to the largest number."""
    pairs = zip(results, truth, strict=True)
    return [float(np.abs(np.asarray(r, np.float64) - t).max() / np.abs(t).max()) for r, t in pairs]
