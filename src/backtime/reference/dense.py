"""A dense batch in one direction: every cell through the same door, forwards or backwards in time.

With ``reverse`` a sequence runs from its end to its start. Its outputs stay at their steps, and its last
state is the one after step 0. A reset between steps t-1 and t cuts at the same place in both directions.
"""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from backtime.reference import gru, jordan, lstm, rnn
from backtime.reference.weights import Array, Integers, Weights

CELLS: dict[str, ModuleType] = {"rnn": rnn, "gru": gru, "lstm": lstm, "jordan": jordan}
State = tuple[Array, ...]  # (h,), (h, c) for the lstm, (y,) for the jordan
OF_STEPS = ("keep_h", "keep_c", "reset")  # options that may have an entry for each step


class Saved(NamedTuple):
    """What ``backward`` needs."""

    cell: str
    reverse: bool
    kept: Any  # the cell's own


def forward(
    cell: str,
    x: Array | Integers,
    state: tuple[Array | None, ...] | None,
    weights: Weights,
    reverse: bool = False,
    **options: Any,
) -> tuple[Array, State, Saved]:
    """``y`` (T, B, P), the last state and what ``backward`` needs, as the cell's own ``forward`` has them."""
    if reverse:
        x = x[::-1]
        options = {name: _turned(name, value) for name, value in options.items()}
    y, last, kept = CELLS[cell].forward(x, state, weights, **options)
    return _in_time(y, reverse), last, Saved(cell, reverse, kept)


def backward(
    saved: Saved, dy: Array | None, dstate: tuple[Array | None, ...] | None
) -> tuple[Array | None, State, Weights]:
    """``(dx, dstate, dweights)``, as the cell's own ``backward`` has them."""
    if dy is not None and saved.reverse:
        dy = dy[::-1]
    dx, dstate0, dweights = CELLS[saved.cell].backward(saved.kept, dy, dstate)
    return None if dx is None else _in_time(dx, saved.reverse), dstate0, dweights


def _in_time(a: Array, reverse: bool) -> Array:
    return np.ascontiguousarray(a[::-1]) if reverse else a


def _turned(name: str, value: Any) -> Any:
    """An option of a sequence for the sequence turned round."""
    if not isinstance(value, np.ndarray) or name not in OF_STEPS:
        return value
    if name != "reset" or len(value) == 0:
        return value[::-1]
    # the cut before step t, between t-1 and t, is met on the way from t to t-1; none precedes step T-1
    return np.concatenate([np.zeros_like(value[:1]), value[:0:-1]])
