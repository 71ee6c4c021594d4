"""Recurrent layers of a model file over whole sequences, in packed rows: NumPy and the engine, no PyTorch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import backtime.kernels as kernels
from backtime.models.recurrent import RecurrentConfig
from backtime.reference.weights import Array, Weights

PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Layers:
    """The layers that a configuration and the tensors ``NAME.weight_ih_l0`` and so on describe."""

    def __init__(self, config: RecurrentConfig, tensors: Mapping[str, Array], name: str) -> None:
        """Take the weights; later changes to them are seen."""
        self.cell, self.options = config.cell, config.options()
        self.ends = ("", "_reverse") if config.bidirectional else ("",)
        self.layers = [
            [Weights(*(tensors[f"{name}.{part}_l{layer}{end}"] for part in PARTS)) for end in self.ends]
            for layer in range(config.layers)
        ]

    def run(self, rows: Array, batch_sizes: NDArray[np.int64]) -> tuple[Array, Array]:
        """Outputs (R, P) of packed rows, and the last h (B, P) of the top layer, of both directions."""
        y, last = rows, rows
        for weights in self.layers:
            y, last = self._layer(weights, y, batch_sizes)
        return y, last

    def _layer(self, weights: list[Weights], x: Array, batch_sizes: NDArray[np.int64]) -> tuple[Array, Array]:
        common: dict[str, Any] = {"batch_sizes": batch_sizes, "save": False}
        if len(weights) == 1:
            y, state, _ = kernels.forward(self.cell, x, None, weights[0], **common, **self.options)
            return y, state[0]
        pair = (weights[0], weights[1])
        options = (self.options, self.options)
        y, (ahead, back), _ = kernels.forward_both(self.cell, x, None, pair, options=options, **common)
        return y, np.concatenate([ahead[0], back[0]], 1)
