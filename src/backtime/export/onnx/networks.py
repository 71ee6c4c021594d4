"""The networks that are one graph. T, B, D are axes of any length; all numbers are float32.

aligned, piano   tokens (T, B) or x (T, B, I), lengths (B,), h_0 (L, B, H), [c_0]
                 -> output (T, B, O), h_n, [c_n]
reader           the same without a state -> output (B, K): scores of the classes
regressor        the same -> output (B, 1), scaled
similarity       the same -> output (B, P): vectors of length 1
forecaster       x (T, B, I), lengths (B,), [known (S, B, F)] -> output (S, B, K Q), scaled; the
                     recursive one as aligned
tagger           words (T, B), spelled (T, B), lengths (B,), letters (Q, D), letter_lengths (D,)
                 -> output (T, B, L): scores of the tags; of a CRF too, whose decoding is left to the reader
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from backtime.export.chain import chain_of
from backtime.export.onnx import layers
from backtime.export.onnx.graph import Graph
from backtime.models.file import ModelFile
from backtime.models.reader_config import SequenceEncoderConfig

LEAST = 1e-12  # length of a vector that is brought to length 1, as the runtime has it


def aligned(graph: Graph, model: ModelFile) -> None:
    """An output at every step; the state goes in and out."""
    chain = chain_of(model, "onnx")
    x, lengths = _way_in(graph, chain.inputs, chain.symbols, chain.embedding)
    starts = layers.states_in(graph, chain.config)
    y, ends = layers.run(graph, chain.config, chain.layers, x, lengths, starts)
    y = layers.above(graph, chain.config, chain.tensors, y)
    graph.output(graph.linear(y, chain.Wy, chain.by), "output", np.float32, ["T", "B", len(chain.by)])
    layers.states_out(graph, chain.config, ends)


def reader(graph: Graph, model: ModelFile) -> None:
    """One output for each sequence, by any pooling."""
    weight, bias = model.tensors["head.weight"], model.tensors["head.bias"]
    out = graph.linear(_vectors(graph, model), weight, bias)
    graph.output(out, "output", np.float32, ["B", len(bias)])


def similarity(graph: Graph, model: ModelFile) -> None:
    """A vector of length 1 for each text: two texts are as alike as the product of theirs."""
    config: Any = model.config
    vectors = _vectors(graph, model)
    size = graph.op("ReduceL2", vectors, axes=[1], keepdims=1)
    size = graph.op("Max", size, graph.constant(np.array(LEAST, np.float32)))
    graph.output(graph.op("Div", vectors, size), "output", np.float32, ["B", config.width])
    if config.target == "label":
        scale, threshold = (float(model.tensors[name][0]) for name in ("log_scale", "threshold"))
        graph.notes |= {"scale": repr(float(np.exp(scale))), "threshold": repr(threshold)}


def forecaster(graph: Graph, model: ModelFile) -> None:
    """All steps of the horizon at once from the last state; the recursive one is stepped."""
    config: Any = model.config
    if config.strategy == "recursive":
        return aligned(graph, model)
    tensors = model.tensors
    x, lengths = _way_in(graph, config.inputs, False, None)
    _, h = layers.stack(graph, config, tensors, "rnn", x, lengths)
    h = layers.above(graph, config, tensors, h)
    flat = graph.linear(h, tensors["head.weight"], tensors["head.bias"])
    steps = graph.op("Reshape", flat, graph.constant(np.array([0, config.horizon, config.outputs])))
    out = graph.op("Transpose", steps, perm=[1, 0, 2])
    if "decoder.0.weight" in tensors:
        out = graph.op("Add", out, _decoder(graph, model, h))
    graph.output(out, "output", np.float32, [config.horizon, "B", config.outputs])
    return None


def tagger(graph: Graph, model: ModelFile) -> None:
    """Two ways in: the words of the sentences, and the letters of the different words."""
    config: Any = model.config
    tensors = model.tensors
    words, spelled = (graph.input(name, np.int64, ["T", "B"]) for name in ("words", "spelled"))
    lengths = graph.input("lengths", np.int32, ["B"])
    letters = graph.input("letters", np.int64, ["Q", "D"])
    letter_lengths = graph.input("letter_lengths", np.int32, ["D"])
    x = graph.op("Gather", graph.constant(tensors["characters.weight"]), letters)
    _, spelling = layers.stack(graph, config.spelling, tensors, "spelling", x, letter_lengths)
    own = graph.op("Gather", graph.constant(tensors["words.weight"]), words)
    both = graph.op("Concat", own, graph.op("Gather", spelling, spelled), axis=2)
    _scores(graph, model, both, lengths, config.tags)


def transcriber(graph: Graph, model: ModelFile) -> None:
    """Scores of blank and characters at every step; the search for a text is left to the reader."""
    config: Any = model.config
    x, lengths = _way_in(graph, config.channels, False, None)
    _scores(graph, model, x, lengths, config.characters + 1)


NETWORKS: dict[str, Callable[[Graph, ModelFile], None]] = {
    "aligned": aligned,
    "piano": aligned,
    "recommender": aligned,
    "reader": reader,
    "regressor": reader,
    "similarity": similarity,
    "forecaster": forecaster,
    "tagger": tagger,
    "transcriber": transcriber,
}


def _way_in(graph: Graph, inputs: int, symbols: bool, embedding: Any) -> tuple[str, str]:
    """What the first layer reads, and the lengths."""
    if not symbols:
        x = graph.input("x", np.float32, ["T", "B", inputs])
        return x, graph.input("lengths", np.int32, ["B"])
    tokens, lengths = graph.input("tokens", np.int64, ["T", "B"]), graph.input("lengths", np.int32, ["B"])
    table = np.eye(inputs, dtype=np.float32) if embedding is None else embedding
    return graph.op("Gather", graph.constant(table), tokens), lengths


def _vectors(graph: Graph, model: ModelFile) -> str:
    """One vector (B, P) for each sequence."""
    config, tensors = model.config, model.tensors
    assert isinstance(config, SequenceEncoderConfig)  # of the networks that come here
    size, embedding = config.symbols or config.channels, tensors.get("embedding.weight")
    x, lengths = _way_in(graph, size, bool(config.symbols), embedding)
    y, last = layers.stack(graph, config, tensors, "rnn", x, lengths)
    pooled = last if config.pooling == "last" else layers.pooled(graph, config.pooling, tensors, y, lengths)
    return layers.above(graph, config, tensors, pooled)


def _scores(graph: Graph, model: ModelFile, x: str, lengths: str, count: int) -> None:
    """Scores (T, B, ``count``) at every step of layers in one direction or both."""
    config: Any = model.config
    y, _ = layers.stack(graph, config, model.tensors, "rnn", x, lengths)
    y = layers.above(graph, config, model.tensors, y)
    out = graph.linear(y, model.tensors["head.weight"], model.tensors["head.bias"])
    graph.output(out, "output", np.float32, ["T", "B", count])


def _decoder(graph: Graph, model: ModelFile, h: str) -> str:
    """What the columns known ahead add: ``W2 tanh(W0 [h, known] + b0)``, (S, B, K Q)."""
    config: Any = model.config
    tensors = model.tensors
    known = graph.input("known", np.float32, [config.horizon, "B", config.known])
    shape = graph.op("Concat", graph.constant(np.array([config.horizon])), graph.op("Shape", h), axis=0)
    both = graph.op("Concat", graph.op("Expand", h, shape), known, axis=2)
    inside = graph.op("Tanh", graph.linear(both, tensors["decoder.0.weight"], tensors["decoder.0.bias"]))
    return graph.op("MatMul", inside, graph.constant(tensors["decoder.2.weight"].T))
