"""One vector for a whole sequence, as ``models.reader`` has it: NumPy and the engine, no PyTorch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import Packed, unpack
from backtime.models.reader_config import SequenceEncoderConfig
from backtime.reference.weights import Array
from backtime.runtime.layers import Layers, above


class SequenceEncoder:
    """Layers and pooling of a model file; see ``models.reader.SequenceEncoder``."""

    def __init__(self, config: SequenceEncoderConfig, tensors: Mapping[str, Array]) -> None:
        """Take the weights."""
        self.config, self.tensors = config, tensors
        self.layers = Layers(config, tensors, "rnn")

    def vectors(self, packed: Packed) -> Array:
        """The vectors (B, P) of encoded sequences in packed rows."""
        x = packed.rows
        if self.config.symbols:
            x = self.tensors["embedding.weight"][x]
        dtype = self.tensors["rnn.weight_hh_l0"].dtype
        y, last = self.layers.run(x.astype(dtype, copy=False), packed.batch_sizes)
        if self.config.pooling != "last":
            last = np.stack([self._pooled(own) for own in unpack(Packed(y, packed.batch_sizes))])
        return above(self.config, self.tensors, last)

    def _pooled(self, y: NDArray[Any]) -> NDArray[Any]:
        """One vector (P,) of the outputs (T, P) of a sequence."""
        if self.config.pooling != "attention":
            pooled: NDArray[Any] = y.mean(0) if self.config.pooling == "mean" else y.max(0)
            return pooled
        seen = np.tanh(y @ self.tensors["attention.weight"].T + self.tensors["attention.bias"])
        score = seen @ self.tensors["query"]
        weights = np.exp(score - score.max())
        return (weights / weights.sum()) @ y  # type: ignore[no-any-return]
