"""Recurrent layers of a model file over whole sequences, in packed rows: NumPy and the engine, no PyTorch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import backtime.kernels as kernels
from backtime.models.recurrent import RecurrentConfig, tensor_names
from backtime.reference.weights import Array, Weights

Tensors = Mapping[str, Array]


def weights_of(config: RecurrentConfig, tensors: Tensors, name: str) -> list[list[Weights]]:
    """Of each of the layers ``NAME`` the weights of each direction."""
    if config.output_recurrence:
        return [[_of_outputs(config, tensors, name)]]
    return [
        [Weights(**{field: tensors[own] for field, own in names.items()}) for names in each]
        for each in (tensor_names(name, config, layer) for layer in range(config.layers))
    ]


def _of_outputs(config: RecurrentConfig, tensors: Tensors, name: str) -> Weights:
    """Units that see the output of the step before: an Elman network that reads it, with Wh = 0."""
    (names,) = tensor_names(name, config, 0)
    Wh, bh, Wx = tensors[names["Wh"]], tensors[names["bh"]], tensors.get(names["Wx"])
    W = Wh if Wx is None else np.concatenate([Wh, Wx], 1)
    return Weights(W, np.zeros((len(W), len(W)), W.dtype), tensors.get(names["bx"], np.zeros_like(bh)), bh)


def product(y: Array, W: Array, rows: int = 1) -> Array:
    """y W^T (N, K) of y (N, P) and W (K, P), ``rows`` rows at a time.

    BLAS sums in another order for another number of rows; so a row has the same bits whatever is beside it.
    """
    groups = y.reshape(-1, rows, y.shape[-1])
    found: Array = (groups @ W.T).reshape(len(y), len(W))
    return found


def above(config: RecurrentConfig, tensors: Tensors, y: Array, rows: int = 1) -> Array:
    """Through the layers between the recurrent ones and the output: see ``models.layers.Columns``."""
    for n in range(config.output_layers):
        y = np.tanh(product(y, tensors[f"columns.{n}.weight"], rows) + tensors[f"columns.{n}.bias"])
    return y


def log_softmax(z: Array) -> Array:
    """Of each row, in float64."""
    z = z.astype(np.float64)
    z -= z.max(1, keepdims=True)
    found: Array = z - np.log(np.exp(z).sum(1, keepdims=True))
    return found


class Layers:
    """The layers that a configuration and the tensors ``NAME.weight_ih_l0`` and so on describe."""

    def __init__(self, config: RecurrentConfig, tensors: Tensors, name: str) -> None:
        """Take the weights; later changes to them are seen."""
        self.cell, self.options, self.skips = config.cell, config.options(), config.skip_connections
        self.layers = weights_of(config, tensors, name)

    def run(self, rows: Array, batch_sizes: NDArray[np.int64]) -> tuple[Array, Array]:
        """Outputs (R, P) of packed rows, and the last one (B, P) of the top layer, of both directions."""
        y, last = self._layer(self.layers[0], rows, batch_sizes)
        for weights in self.layers[1:]:
            own, end = self._layer(weights, y, batch_sizes)
            y, last = (own + y, end + last) if self.skips else (own, end)
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
