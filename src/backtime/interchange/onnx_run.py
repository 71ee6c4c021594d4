"""What a node RNN, GRU or LSTM of ONNX computes, by ``backtime.kernels``."""

from typing import Any

import numpy as np

import backtime.kernels as kernels
from backtime.interchange.onnx import Direction, Node
from backtime.reference.sequences import Packing
from backtime.reference.weights import Array, Integers


def run(
    node: Node,
    X: Array,
    sequence_lens: Integers | None = None,
    initial_h: Array | None = None,
    initial_c: Array | None = None,
    backend: str = "auto",
) -> list[Array]:
    """``[Y, Y_h]`` or ``[Y, Y_h, Y_c]``, shaped as the node's ``layout`` says.

    Layout 0: X (T, B, I), Y (T, D, B, H), states (D, B, H). Layout 1: X (B, T, I), Y (B, T, D, H), states
    (B, D, H). ``Y`` is zero beyond ``sequence_lens`` (B,), and the states are those at each sequence's end.
    """
    x = X.swapaxes(0, 1) if node.batch_first else X
    states = [s for s in (initial_h, initial_c) if s is not None]
    starts = [s.swapaxes(0, 1) if node.batch_first else s for s in states]
    found = []
    for d, direction in enumerate(node.directions):
        state = tuple(s[d] for s in _both(node.cell, starts)) if starts else None
        found.append(_one(node.cell, direction, x, sequence_lens, state, backend))
    Y = np.stack([y for y, _ in found], axis=1)  # (T, D, B, H)
    ends = [np.stack(parts) for parts in zip(*(last for _, last in found), strict=True)]  # each (D, B, H)
    if node.batch_first:
        return [Y.transpose(2, 0, 1, 3), *(end.swapaxes(0, 1) for end in ends)]
    return [Y, *ends]


def _both(cell: str, starts: list[Array]) -> list[Array]:
    """Zeros for a state of the LSTM that is not given."""
    return [*starts, np.zeros_like(starts[0])] if cell == "lstm" and len(starts) == 1 else starts


def _one(
    cell: str, direction: Direction, x: Array, lengths: Integers | None, state: Any, backend: str
) -> tuple[Array, tuple[Array, ...]]:
    weights, options, reverse = direction
    if lengths is None or (np.asarray(lengths) == len(x)).all():
        y, last, _ = kernels.forward(
            cell, x, state, weights, reverse=reverse, save=False, backend=backend, **options
        )
        return y, last
    packing = Packing.of(np.asarray(lengths))
    B, H = x.shape[1], weights.Wh.shape[1]
    start = state or (np.zeros((B, H), x.dtype),) * (2 if cell == "lstm" else 1)
    rows, last, _ = kernels.forward(
        cell, packing.pack(x), tuple(s[packing.order] for s in start), weights,
        batch_sizes=packing.batch_sizes, reverse=reverse, save=False, backend=backend, **options,
    )  # fmt: skip
    return packing.unpack(rows, len(x)), tuple(part[packing.inverse] for part in last)
