"""Recurrent layers as nodes, and what stands above them."""

from collections.abc import Sequence

import numpy as np

from backtime.export.onnx.graph import Graph
from backtime.models.recurrent import RecurrentConfig
from backtime.reference.weights import Array, Weights
from backtime.runtime.layers import Layers, Tensors

Stack = list[list[Weights]]  # of each layer the weights of each direction


def run(
    graph: Graph, config: RecurrentConfig, layers: Stack, x: str, lengths: str, starts: Sequence[str] = ()
) -> tuple[str, list[list[str]]]:
    """Layers above each other: y (T, B, P), and of each layer its last states, each (D, B, H).

    ``starts`` are h and, of the lstm, c of all layers, (L, B, H); without them the layers begin with zeros.
    """
    ends: list[list[str]] = []
    for at, each in enumerate(layers):
        own = [graph.op("Slice", part, *graph.numbers(at, at + 1, 0)) for part in starts]
        y, last = graph.layer(config.cell, config.options(), each, x, lengths, own)
        x = graph.op("Add", y, x) if at and config.skip_connections else y
        ends.append(last)
    return x, ends


def last_of(graph: Graph, config: RecurrentConfig, ends: list[list[str]]) -> str:
    """The last output (B, P) of the top layer, of both directions; with skip connections of all layers."""
    end = ends[-1][0]
    if config.skip_connections:
        end = ends[0][0]
        for own, *_ in ends[1:]:
            end = graph.op("Add", own, end)
    turned = graph.op("Transpose", end, perm=[1, 0, 2])
    return graph.op("Reshape", turned, graph.constant(np.array([0, -1])))


def stack(
    graph: Graph, config: RecurrentConfig, tensors: Tensors, name: str, x: str, lengths: str
) -> tuple[str, str]:
    """The layers ``NAME`` from zeros: y (T, B, P), and the last output (B, P)."""
    y, ends = run(graph, config, Layers(config, tensors, name).layers, x, lengths)
    return y, last_of(graph, config, ends)


def states_in(graph: Graph, config: RecurrentConfig) -> list[str]:
    """The inputs ``h_0`` and, of the lstm, ``c_0``, (L, B, H)."""
    return [graph.input(f"{name}_0", np.float32, _size(config)) for name in names(config)]


def states_out(graph: Graph, config: RecurrentConfig, ends: list[list[str]]) -> None:
    """The outputs ``h_n`` and, of the lstm, ``c_n``, (L, B, H)."""
    for n, name in enumerate(names(config)):
        whole = graph.op("Concat", *[own[n] for own in ends], axis=0)
        graph.output(whole, f"{name}_n", np.float32, _size(config))


def names(config: RecurrentConfig) -> tuple[str, ...]:
    """What a state has."""
    return ("h", "c") if config.cell == "lstm" else ("h",)


def _size(config: RecurrentConfig) -> list[int | str]:
    return [config.layers, "B", config.hidden_size]


def above(graph: Graph, config: RecurrentConfig, tensors: Tensors, y: str) -> str:
    """Through the output layers."""
    for n in range(config.output_layers):
        y = graph.op("Tanh", graph.linear(y, tensors[f"columns.{n}.weight"], tensors[f"columns.{n}.bias"]))
    return y


def there(graph: Graph, y: str, lengths: str) -> str:
    """(T, B) whether a step of y (T, B, P) is there."""
    (at,) = graph.numbers(0, shape=())
    T = graph.op("Cast", graph.op("Gather", graph.op("Shape", y), at), to=6)  # 6: int32
    zero, one = (graph.constant(np.array(n, np.int32)) for n in (0, 1))
    steps = graph.op("Unsqueeze", graph.op("Range", zero, T, one), *graph.numbers(1))
    return graph.op("Less", steps, graph.op("Unsqueeze", lengths, *graph.numbers(0)))


def masked(graph: Graph, where: str, values: str) -> str:
    """The values, and the lowest number of all where there is none."""
    return graph.op("Where", where, values, graph.constant(np.array(np.finfo(np.float32).min)))


def pooled(graph: Graph, pooling: str, tensors: dict[str, Array], y: str, lengths: str) -> str:
    """Mean, maximum or weighted mean (B, P) of the outputs y (T, B, P) of the steps that are there."""
    apart = graph.op("Unsqueeze", there(graph, y, lengths), *graph.numbers(2))
    if pooling == "max":
        return graph.op("ReduceMax", masked(graph, apart, y), axes=[0], keepdims=0)
    if pooling == "mean":
        shares = graph.op("CastLike", apart, y)
        shares = graph.op("Div", shares, graph.op("ReduceSum", shares, *graph.numbers(0), keepdims=1))
    else:
        seen = graph.op("Tanh", graph.linear(y, tensors["attention.weight"], tensors["attention.bias"]))
        score = graph.op("MatMul", seen, graph.constant(tensors["query"][:, None]))
        shares = graph.op("Softmax", masked(graph, apart, score), axis=0)
    return graph.op("ReduceSum", graph.op("Mul", shares, y), *graph.numbers(0), keepdims=0)
