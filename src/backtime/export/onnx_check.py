"""An ONNX file beside the engine: ONNX Runtime runs it on random sequences of several batches and lengths."""

from collections.abc import Callable
from typing import Any

import numpy as np

from backtime.data.batching.buckets import Packed
from backtime.export.chain import chain_of
from backtime.interchange.agreement import agreement
from backtime.models.file import ModelFile
from backtime.reference.weights import Array
from backtime.runtime.example_reader import ExampleReader
from backtime.runtime.layers import Layers, above

SHAPES = ((1, 1), (7, 3), (20, 4))  # T, B
Run = Callable[[dict[str, Any]], list[Any]]


def check(model: ModelFile, content: bytes) -> tuple[float, float]:
    """The largest difference, and the largest output; raises ``UsageError`` where they are too far apart."""
    run, random = session(content), np.random.default_rng(0)
    compare = CHECKS[model.config.network]
    pairs = [pair for T, B in SHAPES for pair in compare(model, run, T, B, random)]
    return agreement(pairs, "ONNX Runtime and the engine")


def session(content: bytes) -> Run:
    """The file as a function from its inputs by name to its outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    made = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [own.name for own in made.get_inputs()]
    return lambda inputs: list(made.run(None, {name: inputs[name] for name in names}))


def _lengths(T: int, B: int, random: np.random.Generator) -> Any:
    """One is whole, the others at random."""
    found = random.integers(1, T + 1, B).astype(np.int32)
    found[-1] = T
    return found


def _aligned(model: ModelFile, run: Run, T: int, B: int, random: np.random.Generator) -> list[Any]:
    """Whole sequences, and the same in two pieces with the state handed over."""
    chain, pairs = chain_of(model, "onnx"), []
    each = [chain.example(T, random) for _ in range(B)]
    x, lengths = np.stack(each, 1), _lengths(T, B, random)
    name = "tokens" if chain.symbols else "x"
    zeros = np.zeros((chain.config.layers, B, chain.config.hidden_size), chain.Wy.dtype)
    state = {"h_0": zeros, "c_0": zeros}
    whole, *_ = run({name: x, "lengths": lengths, **state})
    for b, n in enumerate(lengths):
        pairs.append((chain.run(x[:n, b]), whole[:n, b]))
    if T > 1:
        half, full = T // 2, np.full(B, T // 2, np.int32)
        first, *ends = run({name: x[:half], "lengths": full, **state})
        state = dict(zip(("h_0", "c_0"), ends, strict=False))
        second, *_ = run({name: x[half:], "lengths": np.full(B, T - half, np.int32), **state})
        ours = np.stack([chain.run(own) for own in each], 1)
        pairs.append((ours, np.concatenate([first, second])))
    return pairs


def _reader(model: ModelFile, run: Run, T: int, B: int, random: np.random.Generator) -> list[Any]:
    own, config, lengths = ExampleReader(model), model.config, _lengths(T, B, random)
    symbols = getattr(config, "symbols", 0)
    if symbols:
        x: Any = random.integers(0, symbols, (T, B))
    else:
        x = random.standard_normal((T, B, getattr(config, "channels", 0))).astype(_dtype(model))
    (theirs,) = run({"tokens" if symbols else "x": x, "lengths": lengths})
    pairs = []
    for b, n in enumerate(lengths):
        pairs.append((own.scores(Packed(x[:n, b], np.ones(n, np.int64)))[0], theirs[b]))
    return pairs


def _forecaster(model: ModelFile, run: Run, T: int, B: int, random: np.random.Generator) -> list[Any]:
    config: Any = model.config
    if config.strategy == "recursive":
        return _aligned(model, run, T, B, random)
    dtype, tensors = _dtype(model), model.tensors
    x = random.standard_normal((T, B, config.inputs)).astype(dtype)
    known = random.standard_normal((config.horizon, B, config.known)).astype(dtype)
    lengths = _lengths(T, B, random)
    (theirs,) = run({"x": x, "lengths": lengths, "known": known})
    layers, pairs = Layers(config, tensors, "rnn"), []
    for b, n in enumerate(lengths):
        _, last = layers.run(x[:n, b], np.ones(n, np.int64))
        (h,) = above(config, tensors, last)
        ours = (tensors["head.weight"] @ h + tensors["head.bias"]).reshape(config.horizon, -1)
        if "decoder.0.weight" in tensors:
            both = np.concatenate([np.broadcast_to(h, (config.horizon, len(h))), known[:, b]], 1)
            inside = np.tanh(both @ tensors["decoder.0.weight"].T + tensors["decoder.0.bias"])
            ours = ours + inside @ tensors["decoder.2.weight"].T
        pairs.append((ours, theirs[:, b]))
    return pairs


def _tagger(model: ModelFile, run: Run, T: int, B: int, random: np.random.Generator) -> list[Any]:
    config: Any = model.config
    tensors, D, Q = model.tensors, 5, 6
    lengths, letter_lengths = _lengths(T, B, random), _lengths(Q, D, random)
    words, spelled = random.integers(0, config.words, (T, B)), random.integers(0, D, (T, B))
    letters = random.integers(0, config.characters, (Q, D))
    inputs = {"words": words, "spelled": spelled, "lengths": lengths}
    (theirs,) = run({**inputs, "letters": letters, "letter_lengths": letter_lengths})
    spelling, layers = Layers(config.spelling, tensors, "spelling"), Layers(config, tensors, "rnn")

    def spell(d: int) -> Array:
        n = int(letter_lengths[d])
        found: Array = spelling.run(tensors["characters.weight"][letters[:n, d]], np.ones(n, np.int64))[1][0]
        return found

    vectors, pairs = np.stack([spell(d) for d in range(D)]), []
    for b, n in enumerate(lengths):
        x = np.concatenate([tensors["words.weight"][words[:n, b]], vectors[spelled[:n, b]]], 1)
        y = above(config, tensors, layers.run(x, np.ones(n, np.int64))[0])
        pairs.append((y @ tensors["head.weight"].T + tensors["head.bias"], theirs[:n, b]))
    return pairs


def _transcriber(model: ModelFile, run: Run, T: int, B: int, random: np.random.Generator) -> list[Any]:
    config: Any = model.config
    x = random.standard_normal((T, B, config.channels)).astype(_dtype(model))
    lengths = _lengths(T, B, random)
    (theirs,) = run({"x": x, "lengths": lengths})
    layers, tensors, pairs = Layers(config, model.tensors, "rnn"), model.tensors, []
    for b, n in enumerate(lengths):
        y = above(config, tensors, layers.run(x[:n, b], np.ones(n, np.int64))[0])
        pairs.append((y @ tensors["head.weight"].T + tensors["head.bias"], theirs[:n, b]))
    return pairs


def _dtype(model: ModelFile) -> Any:
    return model.tensors["head.weight"].dtype


CHECKS: dict[str, Callable[..., list[Any]]] = {
    "aligned": _aligned,
    "piano": _aligned,
    "recommender": _aligned,
    "reader": _reader,
    "regressor": _reader,
    "forecaster": _forecaster,
    "tagger": _tagger,
    "transcriber": _transcriber,
}
