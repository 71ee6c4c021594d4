"""Layers and an output product, step by step: inference where the input comes one step at a time."""

from typing import Any

import numpy as np

from backtime import backends
from backtime.errors import UsageError
from backtime.reference.checks import STATE, check_weights
from backtime.reference.checks.options import check_names, check_options
from backtime.reference.layer import CELLS
from backtime.reference.weights import Array, Integers, Weights, widths

if backends.available():
    from backtime import native


class Stack:
    """Layers and their output product with the weights prepared once, for inference step by step.

    ``layers`` are the weights from the bottom up, ``Wy`` (V, P) and ``by`` (V,) the output product,
    ``embedding`` (V, I) the vectors that integers stand for (without it they are one-hot input). Options are
    those of ``kernels.forward`` that hold for every step: no ``h_mask``, no ``reset``, no array.
    """

    def __init__(
        self,
        layers: list[Weights],
        cell: str,
        Wy: Array,
        by: Array,
        *,
        backend: str = "auto",
        embedding: Array | None = None,
        **options: Any,
    ) -> None:
        """Pack the weights for the engine; later changes to the arrays are not seen."""
        _check(layers, cell, options)
        self.layers, self.cell, self.Wy, self.by = layers, cell, Wy, by
        self.embedding, self.options = embedding, options
        x = np.zeros((1, 1), np.int64)
        native_here = all(
            backends.goes_native(backend, cell, x, weights, None, False, options) for weights in layers
        )
        self._engine = native.make_stack(layers, cell, Wy, by, **options) if native_here else None

    def zero_state(self, B: int = 1) -> list[Array]:
        """Zeros: for each layer h (B, P), and c (B, H) for the LSTM; y (B, P) for the Jordan network."""
        state = []
        for weights in self.layers:
            P, H = widths(weights)
            state += [np.zeros((B, H if part == "c" else P), weights.Wh.dtype) for part in STATE[self.cell]]
        return state

    def step(self, x: Array | Integers, state: list[Array]) -> Array:
        """Logits (B, V) after one step of ``x``, (B,) integers or (B, I); ``state`` advances in place."""
        if self.embedding is not None:
            x = self.embedding[x]
        if self._engine is not None:
            return native.step(self._engine, x, state, self.by)
        for layer, weights in enumerate(self.layers):
            n = len(state) // len(self.layers)
            own = state[layer * n : (layer + 1) * n]
            y, last, _ = CELLS[self.cell].forward(x[None], tuple(own), weights, **self.options)
            for old, new in zip(own, last, strict=True):
                old[...] = new
            x = y[0]
        return x @ self.Wy.T + self.by


def _check(layers: list[Weights], cell: str, options: dict[str, Any]) -> None:
    if cell not in CELLS:
        raise UsageError(f"cell is {cell!r}; expected one of {', '.join(CELLS)}")
    check_names(cell, options)
    for name, value in options.items():
        if isinstance(value, np.ndarray):
            raise UsageError(f"{name} is an array; expected what holds for every step of a stack")
    for weights in layers:
        check_weights(cell, weights)
        P = weights.Wh.shape[1]
        check_options(cell, options, weights, (1, 1, P), "(T, B, P)", 1)
