"""A model as a chain: a way in, recurrent layers, an output layer. Every format begins with it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UsageError
from backtime.models.config import LanguageConfig
from backtime.models.file import ModelFile
from backtime.models.forecast_config import ForecastConfig
from backtime.models.piano_config import PianoConfig
from backtime.models.reader_config import ReaderConfig
from backtime.models.recommender_config import RecommenderConfig
from backtime.models.recurrent import RecurrentConfig
from backtime.models.regressor_config import RegressorConfig
from backtime.reference.weights import Array, Weights
from backtime.runtime.layers import Layers, above


@dataclass(frozen=True)
class Chain:
    """x (T, I), or symbols (T,) -> [embedding] -> layers -> Wy h + by, at every step or after the last.

    Between layers and output there may be output layers: ``runtime.layers.above``.
    """

    config: RecurrentConfig
    inputs: int  # I, or how many symbols there are
    symbols: bool
    embedding: Array | None  # (V, E); None with symbols: one-hot
    tensors: dict[str, Array]
    Wy: Array
    by: Array
    every: bool
    name: str = "rnn"  # of the layers' tensors

    @property
    def layers(self) -> list[list[Weights]]:
        """Of each layer the weights of each direction."""
        return Layers(self.config, self.tensors, self.name).layers

    @property
    def width(self) -> int:
        """Length of what the first layer reads."""
        return self.inputs if self.embedding is None else self.embedding.shape[1]

    def rows(self, x: NDArray[Any]) -> Array:
        """What the first layer reads (T, .) for symbols (T,) or numbers (T, I)."""
        if not self.symbols:
            return x.astype(self.Wy.dtype)
        table = np.eye(self.inputs, dtype=self.Wy.dtype) if self.embedding is None else self.embedding
        found: Array = table[x]
        return found

    def run(self, x: NDArray[Any]) -> Array:
        """The outputs (T, O) of one sequence, or (O,) after its last step: by the engine."""
        y, last = Layers(self.config, self.tensors, self.name).run(self.rows(x), np.ones(len(x), np.int64))
        h = above(self.config, self.tensors, y if self.every else last[0])
        out: Array = h @ self.Wy.T + self.by
        return out


def chain_of(model: ModelFile, form: str) -> Chain:
    """The chain of a model; raises ``UsageError`` where its network is more than one."""
    config, tensors = model.config, model.tensors
    if "head.weight" not in tensors:
        raise _no_chain(config, form)
    Wy, by = tensors["head.weight"], tensors["head.bias"]
    if isinstance(config, LanguageConfig):
        embedding = Wy if config.tie_weights else tensors.get("embedding.weight")
        return Chain(config.recurrent, config.vocabulary_size, True, embedding, tensors, Wy, by, True)
    if isinstance(config, RecommenderConfig):
        return Chain(config, config.items, True, tensors["embedding.weight"], tensors, Wy, by, True)
    if isinstance(config, PianoConfig):
        return Chain(config, config.keys, False, None, tensors, Wy, by, True)
    if isinstance(config, ReaderConfig | RegressorConfig) and config.pooling == "last":
        embedding = tensors.get("embedding.weight")
        size = config.symbols or config.channels
        return Chain(config, size, bool(config.symbols), embedding, tensors, Wy, by, False)
    if isinstance(config, ForecastConfig) and "decoder.0.weight" not in tensors:
        return Chain(config, config.inputs, False, None, tensors, Wy, by, config.strategy == "recursive")
    raise _no_chain(config, form)


def _no_chain(config: Any, form: str) -> UsageError:
    kind = str(config.network)
    return UsageError(f"a network of kind {kind} cannot be exported to {form}; {REASONS[kind]}")


POOLED = "its pooling looks at all steps: expected --pooling last, or --to onnx"
REASONS = {
    "transcriber": "it hears in both directions: expected --to onnx",
    "similarity": "it gives a vector for each text: expected --to onnx",
    "encoder-decoder": "it has an encoder and a decoder: expected --to onnx",
    "captioner": "it has an encoder and a decoder: expected --to onnx",
    "tagger": "it reads words and their letters: expected --to onnx",
    "reader": POOLED,
    "regressor": POOLED,
    "forecaster": "it has columns that are known ahead: expected --to onnx",
}


def check_beyond(config: Any, form: str, known: tuple[str, ...]) -> None:
    """Raise ``UsageError`` where a network has more than plain layers and an output, but for ``known``."""
    own: RecurrentConfig = getattr(config, "recurrent", config)
    for words in own.beyond:
        if words not in known:
            raise UsageError(f"the model has {words}, for which there is no place in {form}")


def forward_only(chain: Chain, form: str) -> None:
    """Raise ``UsageError`` where a layer goes in both directions: it cannot be stepped."""
    if chain.config.bidirectional:
        raise UsageError(f"a model in both directions cannot be exported to {form}, which goes step by step")
