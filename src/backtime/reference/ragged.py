"""Packed rows by their definition: each sequence alone through the dense layer. docs/ragged.md.

The rows of a sequence are taken out, run forwards or backwards in time, and put back in their places. The
weights' gradients add up. A sequence of length zero hands its state through.
"""

from typing import Any, NamedTuple

import numpy as np

from backtime.reference import dense
from backtime.reference.checks import check_call, check_cotangents
from backtime.reference.checks.calls import Sizes
from backtime.reference.dense import OF_STEPS, State
from backtime.reference.sequences import rows_of
from backtime.reference.weights import Array, Integers, Weights, each, one_hot, or_zeros


class Saved(NamedTuple):
    """What ``backward`` needs."""

    cell: str
    x: Array | Integers  # (R, I) or (R,)
    rows: list[Integers]  # of each sequence that has any
    kept: list[dense.Saved]  # of each sequence that has rows
    weights: Weights
    sizes: Sizes


def forward(
    cell: str,
    x: Array | Integers,
    state: tuple[Array | None, ...] | None,
    weights: Weights,
    batch_sizes: Integers,
    reverse: bool = False,
    **options: Any,
) -> tuple[Array, State, Saved]:
    """``y`` (R, P), each sequence's last state, parts (B, .), and what ``backward`` needs.

    ``x`` is (R, I), or (R,) integers, with ``batch_sizes`` (T,) that do not rise; B may exceed
    ``batch_sizes[0]``. Options with an entry for each step are (R, .).
    Raises ``UsageError`` for a shape, type or value that does not fit.
    """
    sizes = check_call(cell, x, state, weights, options, batch_sizes)
    y = np.empty(sizes.y, sizes.dtype)  # (R, P)
    last = _parts(cell, state, sizes)  # each (B, .)
    places = [rows_of(batch_sizes, b) for b in range(int(batch_sizes[0]) if len(batch_sizes) else 0)]
    saved = []
    for b, own in enumerate(places):
        start = tuple(part[b : b + 1] for part in last)
        alone = {name: _alone(name, value, own, b) for name, value in options.items()}
        y_b, end, kept = dense.forward(cell, x[own][:, None], start, weights, reverse, **alone)
        y[own] = y_b[:, 0]
        for part, value in zip(last, end, strict=True):
            part[b] = value[0]
        saved.append(kept)
    return y, tuple(last), Saved(cell, x, places, saved, weights, sizes)


def backward(
    saved: Saved, dy: Array | None, dstate: tuple[Array | None, ...] | None
) -> tuple[Array | None, State, Weights]:
    """``(dx, dstate, dweights)`` from ``dy`` (R, P) and the gradient of each sequence's last state."""
    check_cotangents(saved.cell, dy, dstate, saved.sizes)
    dx = None if one_hot(saved.x) else np.empty(saved.x.shape, saved.sizes.dtype)
    dstate0 = _parts(saved.cell, dstate, saved.sizes)
    total = each(np.zeros_like, saved.weights)
    for b, (own, kept) in enumerate(zip(saved.rows, saved.kept, strict=True)):
        dy_b = None if dy is None else dy[own][:, None]
        dx_b, dstart, dweights = dense.backward(kept, dy_b, tuple(part[b : b + 1] for part in dstate0))
        if dx is not None and dx_b is not None:
            dx[own] = dx_b[:, 0]
        for part, value in zip(dstate0, dstart, strict=True):
            part[b] = value[0]
        total = each(np.add, total, dweights)
    return dx, tuple(dstate0), total


def _parts(cell: str, state: tuple[Array | None, ...] | None, sizes: Sizes) -> list[Array]:
    widths = tuple(shape[1] for _, shape in sizes.parts(cell))
    return or_zeros(state, sizes.B, widths, sizes.dtype)


def _alone(name: str, value: Any, rows: Integers, b: int) -> Any:
    """The share of an option that falls to the sequence in place ``b``."""
    if not isinstance(value, np.ndarray):
        return value
    return value[rows][:, None] if name in OF_STEPS else value[b : b + 1]
