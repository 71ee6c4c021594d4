"""One layer in one direction, dense or packed: the reference as ``backtime.kernels`` calls it."""

from typing import Any

from backtime.reference import dense, ragged
from backtime.reference.dense import CELLS, State
from backtime.reference.weights import Array, Integers, Weights

__all__ = ["CELLS", "Saved", "State", "backward", "forward"]

Saved = dense.Saved | ragged.Saved


def forward(
    cell: str,
    x: Array | Integers,
    state: tuple[Array | None, ...] | None,
    weights: Weights,
    batch_sizes: Integers | None = None,
    reverse: bool = False,
    **options: Any,
) -> tuple[Array, State, Saved]:
    """``y``, the last state and what ``backward`` needs; packed rows where there are ``batch_sizes``."""
    if batch_sizes is None:
        return dense.forward(cell, x, state, weights, reverse, **options)
    return ragged.forward(cell, x, state, weights, batch_sizes, reverse, **options)


def backward(
    saved: Saved, dy: Array | None, dstate: tuple[Array | None, ...] | None
) -> tuple[Array | None, State, Weights]:
    """``(dx, dstate, dweights)`` from ``dy`` and the gradient of the last state."""
    if isinstance(saved, dense.Saved):
        return dense.backward(saved, dy, dstate)
    return ragged.backward(saved, dy, dstate)
