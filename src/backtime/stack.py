"""Layers and an output product, step by step: inference where the input comes one step at a time."""

from typing import Any

import numpy as np

import backtime.backends as backends
from backtime.errors import UsageError
from backtime.reference.checks import STATE, check_weights
from backtime.reference.checks.options import check_names, check_options
from backtime.reference.layer import CELLS
from backtime.reference.weights import Array, Integers, Weights, widths

if backends.available():
    import backtime.native as native


class Stack:
    """Layers and their output product with the weights prepared once, for inference step by step.

    ``layers`` are the weights from the bottom up, ``Wy`` (V, P) and ``by`` (V,) the output product (without
    them the output is h of the last layer, and V is P), ``embedding`` (V, I) the vectors that integers stand
    for (without it they are one-hot input). Options are those of ``kernels.forward`` that hold for every
    step: no ``h_mask``, no ``reset``, no array.
    """

    def __init__(
        self,
        layers: list[Weights],
        cell: str,
        Wy: Array | None = None,
        by: Array | None = None,
        *,
        backend: str = "auto",
        embedding: Array | None = None,
        **options: Any,
    ) -> None:
        """Pack the weights for the engine; later changes to the arrays are not seen."""
        _check(layers, cell, options)
        if (Wy is None) != (by is None):
            raise UsageError(f"{'Wy' if Wy is None else 'by'} is None; expected Wy and by, or neither")
        self.layers, self.cell, self.Wy, self.by = layers, cell, Wy, by
        self.embedding, self.options = embedding, options
        self.outputs = layers[-1].Wh.shape[1] if by is None else len(by)
        native_here = backends.goes_native(backend, np.zeros((1, 1), np.int64), *layers)
        self._engine = native.make_stack(layers, cell, Wy, by, options) if native_here else None

    @property
    def native(self) -> bool:
        """Whether the engine steps it: then each row has the bits that it has alone."""
        return self._engine is not None

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
            return native.step(self._engine, x, state, self.outputs)
        for layer, weights in enumerate(self.layers):
            n = len(state) // len(self.layers)
            own = state[layer * n : (layer + 1) * n]
            y, last, _ = CELLS[self.cell].forward(x[None], tuple(own), weights, **self.options)
            for old, new in zip(own, last, strict=True):
                old[...] = new
            x = y[0]
        h: Array = x  # type: ignore[assignment]  # an output of a layer, there being one at least
        return h if self.Wy is None or self.by is None else h @ self.Wy.T + self.by

    def stream(self, B: int = 1) -> "Stream":
        """A place in ``B`` sequences, from a state of zeros: the quickest way to take one step at a time."""
        return Stream(self, B)


class Stream:
    """Reads one step at a time and keeps its own state; made by ``Stack.stream``.

    ``state`` has for each layer h (B, P), and c (B, H) for the LSTM; its arrays may be read and written
    between steps.
    """

    def __init__(self, stack: Stack, B: int) -> None:
        """Start from zeros."""
        if isinstance(B, bool) or not isinstance(B, int) or B < 1:
            raise UsageError(f"B is {B!r}; expected a whole number from 1")
        self._stack = stack
        self._engine = None if stack._engine is None else native.make_stream(stack._engine, B)
        self.state: list[Array] = stack.zero_state(B) if self._engine is None else self._engine.state

    def step(self, x: Array | Integers | int) -> Array:
        """The output (B, V) after one step of ``x``: (B, I), integers (B,), or one integer where B is 1.

        The array belongs to the stream, whose next step overwrites it.
        """
        if self._engine is None or self._stack.embedding is not None:
            return self._slowly(x)
        try:
            return self._engine.step(x)  # type: ignore[no-any-return]
        except (TypeError, ValueError):
            return self._slowly(x)  # another type or layout, or an error to say in the house's words

    def _slowly(self, x: Any) -> Array:
        B, I = len(self.state[0]), self._stack.layers[0].Wx.shape[1]
        x = np.atleast_1d(x)
        size = (B,) if x.dtype.kind in "iu" else (B, I)
        if x.shape != size or x.dtype.kind not in "iuf":
            raise UsageError(
                f"x has shape {x.shape}, type {x.dtype}; expected floats {(B, I)} or integers {(B,)}"
            )
        if x.dtype.kind in "iu" and x.size and not 0 <= x.min() <= x.max() < self._limit():
            raise UsageError(f"x has values from {x.min()} to {x.max()}; expected 0 to {self._limit() - 1}")
        if x.dtype.kind == "f":
            x = np.ascontiguousarray(x, self.state[0].dtype)
        return self._stack.step(x, self.state)

    def _limit(self) -> int:
        table = self._stack.embedding
        return self._stack.layers[0].Wx.shape[1] if table is None else len(table)


def _check(layers: list[Weights], cell: str, options: dict[str, Any]) -> None:
    if cell not in CELLS:
        raise UsageError(f"cell is {cell!r}; expected one of {', '.join(CELLS)}")
    check_names(cell, options)
    for name, value in options.items():
        if isinstance(value, np.ndarray):
            raise UsageError(f"{name} is an array; expected what holds for every step of a stack")
    if not layers:
        raise UsageError("layers is empty; expected the weights of at least one")
    for weights in layers:
        check_weights(cell, weights)
        P = weights.Wh.shape[1]
        check_options(cell, options, weights, (1, 1, P), "(T, B, P)", 1)
