"""The networks as ONNX graphs. T, B, D are axes of any length.

aligned, piano   tokens (T, B) or x (T, B, I), lengths (B,), h_0 (L, B, H), [c_0]
                 -> output (T, B, O), h_n, [c_n]
reader           the same without a state -> output (B, K): scores of the classes
regressor        the same -> output (B, 1), scaled
forecaster       x (T, B, I), lengths (B,), [known (S, B, F)] -> output (S, B, K Q), scaled; the
                     recursive one as aligned
tagger           words (T, B), spelled (T, B), lengths (B,), letters (Q, D), letter_lengths (D,)
                 -> output (T, B, L): scores of the tags; of a CRF too, whose decoding is left to the reader
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from backtime.export.chain import Chain, chain_of
from backtime.export.onnx_graph import Graph
from backtime.models.file import ModelFile
from backtime.models.recurrent import RecurrentConfig
from backtime.reference.weights import Array
from backtime.runtime.layers import Layers


def aligned(graph: Graph, model: ModelFile) -> None:
    """An output at every step; the state goes in and out."""
    chain = chain_of(model, "onnx")
    config, dtype = chain.config, chain.Wy.dtype
    x, lengths = _way_in(graph, chain)
    size: list[int | str] = [config.layers, "B", config.hidden_size]
    names = ("h", "c") if config.cell == "lstm" else ("h",)
    starts = [graph.input(f"{name}_0", dtype, size) for name in names]
    ends: list[list[str]] = []
    for at, each in enumerate(chain.layers):
        here = [graph.constant(np.array([n])) for n in (at, at + 1, 0)]
        own = [graph.op("Slice", part, *here) for part in starts]
        y, last = graph.layer(config.cell, config.options(), each, x, lengths, own)
        x = graph.op("Add", y, x) if at and config.skip_connections else y
        ends.append(last)
    x = _above(graph, config, chain.tensors, x)
    graph.output(graph.linear(x, chain.Wy, chain.by), "output", dtype, ["T", "B", len(chain.by)])
    for n, name in enumerate(names):
        graph.output(graph.op("Concat", *[own[n] for own in ends], axis=0), f"{name}_n", dtype, size)


def reader(graph: Graph, model: ModelFile) -> None:
    """One output for each sequence, by any pooling."""
    config: Any = model.config
    tensors, dtype = model.tensors, model.tensors["head.weight"].dtype
    size = config.symbols or config.channels
    embedding = tensors.get("embedding.weight")
    head = tensors["head.weight"], tensors["head.bias"]
    chain = Chain(config, size, bool(config.symbols), embedding, tensors, *head, False)
    x, lengths = _way_in(graph, chain)
    y, last = _stack(graph, config, tensors, "rnn", x, lengths)
    pooled = last if config.pooling == "last" else _pooled(graph, config.pooling, tensors, y, lengths)
    pooled = _above(graph, config, tensors, pooled)
    graph.output(graph.linear(pooled, *head), "output", dtype, ["B", len(head[1])])


def forecaster(graph: Graph, model: ModelFile) -> None:
    """All steps of the horizon at once from the last state; the recursive one is stepped."""
    config: Any = model.config
    if config.strategy == "recursive":
        return aligned(graph, model)
    tensors, dtype = model.tensors, model.tensors["head.weight"].dtype
    x = graph.input("x", dtype, ["T", "B", config.inputs])
    lengths = graph.input("lengths", np.int32, ["B"])
    _, h = _stack(graph, config, tensors, "rnn", x, lengths)
    h = _above(graph, config, tensors, h)
    flat = graph.linear(h, tensors["head.weight"], tensors["head.bias"])
    steps = graph.op("Reshape", flat, graph.constant(np.array([0, config.horizon, config.outputs])))
    out = graph.op("Transpose", steps, perm=[1, 0, 2])
    if "decoder.0.weight" in tensors:
        out = graph.op("Add", out, _decoder(graph, config, tensors, h))
    graph.output(out, "output", dtype, [config.horizon, "B", config.outputs])
    return None


def tagger(graph: Graph, model: ModelFile) -> None:
    """Two ways in: the words of the sentences, and the letters of the different words."""
    config: Any = model.config
    tensors, dtype = model.tensors, model.tensors["head.weight"].dtype
    words, spelled = (graph.input(name, np.int64, ["T", "B"]) for name in ("words", "spelled"))
    lengths = graph.input("lengths", np.int32, ["B"])
    letters = graph.input("letters", np.int64, ["Q", "D"])
    letter_lengths = graph.input("letter_lengths", np.int32, ["D"])
    x = graph.op("Gather", graph.constant(tensors["characters.weight"]), letters)
    _, spelling = _stack(graph, config.spelling, tensors, "spelling", x, letter_lengths)
    own = graph.op("Gather", graph.constant(tensors["words.weight"]), words)
    both = graph.op("Concat", own, graph.op("Gather", spelling, spelled), axis=2)
    y, _ = _stack(graph, config, tensors, "rnn", both, lengths)
    y = _above(graph, config, tensors, y)
    out = graph.linear(y, tensors["head.weight"], tensors["head.bias"])
    graph.output(out, "output", dtype, ["T", "B", config.tags])


def transcriber(graph: Graph, model: ModelFile) -> None:
    """Scores of blank and characters at every step; the search for a text is left to the reader."""
    config: Any = model.config
    tensors, dtype = model.tensors, model.tensors["head.weight"].dtype
    x = graph.input("x", dtype, ["T", "B", config.channels])
    y, _ = _stack(graph, config, tensors, "rnn", x, graph.input("lengths", np.int32, ["B"]))
    y = _above(graph, config, tensors, y)
    out = graph.linear(y, tensors["head.weight"], tensors["head.bias"])
    graph.output(out, "output", dtype, ["T", "B", config.characters + 1])


NETWORKS: dict[str, Callable[[Graph, ModelFile], None]] = {
    "aligned": aligned,
    "piano": aligned,
    "recommender": aligned,
    "reader": reader,
    "regressor": reader,
    "forecaster": forecaster,
    "tagger": tagger,
    "transcriber": transcriber,
}


def _way_in(graph: Graph, chain: Chain) -> tuple[str, str]:
    """What the first layer reads, and the lengths."""
    if not chain.symbols:
        x = graph.input("x", chain.Wy.dtype, ["T", "B", chain.inputs])
        return x, graph.input("lengths", np.int32, ["B"])
    tokens, lengths = graph.input("tokens", np.int64, ["T", "B"]), graph.input("lengths", np.int32, ["B"])
    table = np.eye(chain.inputs, dtype=chain.Wy.dtype) if chain.embedding is None else chain.embedding
    return graph.op("Gather", graph.constant(table), tokens), lengths


def _stack(
    graph: Graph, config: RecurrentConfig, tensors: dict[str, Array], name: str, x: str, lengths: str
) -> tuple[str, str]:
    """Layers from zeros: y (T, B, P), and the last output (B, P) of the top layer, of both directions."""
    end = ""
    for each in Layers(config, tensors, name).layers:
        y, (last, *_) = graph.layer(config.cell, config.options(), each, x, lengths, [])
        skips = config.skip_connections and end
        x, end = (graph.op("Add", y, x), graph.op("Add", last, end)) if skips else (y, last)
    turned = graph.op("Transpose", end, perm=[1, 0, 2])
    return x, graph.op("Reshape", turned, graph.constant(np.array([0, -1])))


def _above(graph: Graph, config: RecurrentConfig, tensors: dict[str, Array], y: str) -> str:
    """Through the output layers."""
    for n in range(config.output_layers):
        y = graph.op("Tanh", graph.linear(y, tensors[f"columns.{n}.weight"], tensors[f"columns.{n}.bias"]))
    return y


def _pooled(graph: Graph, pooling: str, tensors: dict[str, Array], y: str, lengths: str) -> str:
    """Mean, maximum or weighted mean (B, P) of the outputs y (T, B, P) of the steps that are there."""
    dtype = tensors["head.weight"].dtype
    zero, one = (graph.constant(np.array(n, np.int32)) for n in (0, 1))
    T = graph.op("Cast", graph.op("Gather", graph.op("Shape", y), graph.constant(np.array(0))), to=6)
    steps = graph.op("Unsqueeze", graph.op("Range", zero, T, one), graph.constant(np.array([1])))
    there = graph.op("Less", steps, graph.op("Unsqueeze", lengths, graph.constant(np.array([0]))))  # (T, B)
    apart = graph.op("Unsqueeze", there, graph.constant(np.array([2])))
    if pooling == "max":
        low = graph.constant(np.array(np.finfo(dtype).min, dtype))
        return graph.op("ReduceMax", graph.op("Where", apart, y, low), axes=[0], keepdims=0)
    if pooling == "mean":
        shares = graph.op("CastLike", apart, y)
        count = graph.op("ReduceSum", shares, graph.constant(np.array([0])), keepdims=1)
        shares = graph.op("Div", shares, count)
    else:
        seen = graph.op("Tanh", graph.linear(y, tensors["attention.weight"], tensors["attention.bias"]))
        score = graph.op("MatMul", seen, graph.constant(tensors["query"][:, None]))
        low = graph.constant(np.array(np.finfo(dtype).min, dtype))
        shares = graph.op("Softmax", graph.op("Where", apart, score, low), axis=0)
    weighted = graph.op("Mul", shares, y)
    return graph.op("ReduceSum", weighted, graph.constant(np.array([0])), keepdims=0)


def _decoder(graph: Graph, config: Any, tensors: dict[str, Array], h: str) -> str:
    """What the columns known ahead add: ``W2 tanh(W0 [h, known] + b0)``, (S, B, K Q)."""
    known = graph.input("known", tensors["head.weight"].dtype, [config.horizon, "B", config.known])
    shape = graph.op("Concat", graph.constant(np.array([config.horizon])), graph.op("Shape", h), axis=0)
    both = graph.op("Concat", graph.op("Expand", h, shape), known, axis=2)
    inside = graph.op("Tanh", graph.linear(both, tensors["decoder.0.weight"], tensors["decoder.0.bias"]))
    return graph.op("MatMul", inside, graph.constant(tensors["decoder.2.weight"].T))
