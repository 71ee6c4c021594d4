"""Networks that write a text: one graph for what is read, one for the writing, as many steps as are given.

translate   encoder   tokens (S, B), lengths (B,) -> h_n (L, B, H), [c_n]; with attention read (S, B, H)
caption     encoder   x (B, rows, columns, channels), scaled -> h_n, [c_n]; with attention read (P, B, H)
both        decoder   tokens (T, B), h_0 (L, B, H), [c_0]; with attention read, of translate lengths (B,)
                      -> output (T, B, V + 1): scores of the symbols and, the last, of the end; h_n, [c_n];
                         with attention attention (T, B, S)

The first token is the end's number, V, too. The equations: ``models.writer``, ``models.captioner``.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from backtime.export.onnx import layers
from backtime.export.onnx.graph import Graph
from backtime.models.captioner_config import FLOOR, CaptionerConfig
from backtime.models.file import ModelFile
from backtime.models.writer_config import WriterConfig
from backtime.runtime.layers import Layers


def text_encoder(graph: Graph, model: ModelFile) -> None:
    """The layers that read a text."""
    config: Any = model.config
    tokens, lengths = graph.input("tokens", np.int64, ["S", "B"]), graph.input("lengths", np.int32, ["B"])
    x = graph.op("Gather", graph.constant(model.tensors["source.weight"]), tokens)
    y, ends = layers.run(graph, config, Layers(config, model.tensors, "encoder").layers, x, lengths)
    layers.states_out(graph, config, ends)
    if config.attention:
        graph.output(y, "read", np.float32, ["S", "B", config.hidden_size])


def image_encoder(graph: Graph, model: ModelFile) -> None:
    """Blocks of convolution, and the state that they give."""
    config, tensors = model.config, model.tensors
    assert isinstance(config, CaptionerConfig)
    x = graph.input("x", np.float32, ["B", config.rows, config.columns, config.channels])
    f = graph.op("Transpose", x, perm=[0, 3, 1, 2])
    for block in range(config.blocks):
        weights = [graph.constant(tensors[f"convolutions.{block}.{part}"]) for part in ("weight", "bias")]
        f = graph.op("Relu", graph.op("Conv", f, *weights, pads=[1, 1, 1, 1]))
        f = graph.op("MaxPool", f, kernel_shape=[2, 2], strides=[2, 2])
    f = _standard(graph, f)
    _first_state(graph, model, graph.op("Reshape", f, graph.constant(np.array([0, -1]))))
    if config.attention:
        places = graph.op("Reshape", f, graph.constant(np.array([0, config.features, -1])))
        places = graph.op("Transpose", places, perm=[2, 0, 1])
        places = graph.linear(places, tensors["place.weight"], tensors["place.bias"])
        read = graph.op("Add", places, graph.constant(tensors["position"][:, None]))
        graph.output(read, "read", np.float32, [config.places, "B", config.hidden_size])


def decoder(graph: Graph, model: ModelFile) -> None:
    """The layers that write, from a state, and the attention to what was read."""
    config, tensors = model.config, model.tensors
    assert isinstance(config, WriterConfig)
    tokens = graph.input("tokens", np.int64, ["T", "B"])
    starts = layers.states_in(graph, config)
    x = graph.op("Gather", graph.constant(tensors["target.weight"]), tokens)
    y, ends = layers.run(graph, config, Layers(config, tensors, "decoder").layers, x, "", starts)
    if config.attention:
        y = _looking(graph, model, y)
    out = graph.linear(y, tensors["head.weight"], tensors["head.bias"])
    graph.output(out, "output", np.float32, ["T", "B", config.targets + 1])
    layers.states_out(graph, config, ends)


WRITERS: dict[str, dict[str, Callable[[Graph, ModelFile], None]]] = {
    "encoder-decoder": {"-encoder": text_encoder, "-decoder": decoder},
    "captioner": {"-encoder": image_encoder, "-decoder": decoder},
}


def _standard(graph: Graph, f: str) -> str:
    """(B, F, R, C) with mean 0 and deviation 1 for each image."""
    axes: dict[str, Any] = {"axes": [1, 2, 3], "keepdims": 1}
    f = graph.op("Sub", f, graph.op("ReduceMean", f, **axes))
    variance = graph.op("ReduceMean", graph.op("Mul", f, f), **axes)
    floor = graph.constant(np.array(FLOOR, np.float32))
    return graph.op("Div", f, graph.op("Sqrt", graph.op("Add", variance, floor)))


def _first_state(graph: Graph, model: ModelFile, numbers: str) -> None:
    """The state that an image gives: tanh of a product with all that was seen of it."""
    config: Any = model.config
    start = graph.linear(numbers, model.tensors["start.weight"], model.tensors["start.bias"])
    shape = graph.constant(np.array([0, -1, config.layers, config.hidden_size]))
    parts = graph.op("Transpose", graph.op("Reshape", graph.op("Tanh", start), shape), perm=[1, 2, 0, 3])
    for n, name in enumerate(layers.names(config)):
        own = graph.op("Gather", parts, *graph.numbers(n, shape=()))
        graph.output(own, f"{name}_n", np.float32, [config.layers, "B", config.hidden_size])


def _looking(graph: Graph, model: ModelFile, h: str) -> str:
    """What the attention makes of the outputs h (T, B, H)."""
    config, tensors = model.config, model.tensors
    assert isinstance(config, WriterConfig)
    places: int | str = config.places if isinstance(config, CaptionerConfig) else "S"
    read = graph.input("read", np.float32, [places, "B", config.hidden_size])
    query = graph.op("MatMul", h, graph.constant(tensors["score.weight"]))
    scores = graph.op(
        "MatMul",
        graph.op("Transpose", query, perm=[1, 0, 2]),
        graph.op("Transpose", read, perm=[1, 2, 0]),
    )  # (B, T, S)
    if not isinstance(config, CaptionerConfig):  # of an image all places are there
        own = layers.there(graph, read, graph.input("lengths", np.int32, ["B"]))  # (S, B)
        apart = graph.op("Unsqueeze", graph.op("Transpose", own, perm=[1, 0]), *graph.numbers(1))
        scores = layers.masked(graph, apart, scores)
    seen = graph.op("Softmax", scores, axis=2)
    context = graph.op("MatMul", seen, graph.op("Transpose", read, perm=[1, 0, 2]))
    both = graph.op("Concat", graph.op("Transpose", context, perm=[1, 0, 2]), h, axis=2)
    graph.output(graph.op("Transpose", seen, perm=[1, 0, 2]), "attention", np.float32, ["T", "B", places])
    return graph.op("Tanh", graph.linear(both, tensors["combine.weight"], tensors["combine.bias"]))
