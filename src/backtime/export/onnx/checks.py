"""The files beside the engine: ONNX Runtime runs them on each batch of each trial, ragged."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backtime.data.batching.buckets import Packed
from backtime.errors import UsageError
from backtime.export.chain import Chain, chain_of
from backtime.export.onnx.writer_checks import compare_writer
from backtime.export.trials import Trial, found, lengths_of, padded
from backtime.interchange.agreement import agreement
from backtime.models.file import ModelFile
from backtime.reference.weights import Array
from backtime.runtime.layers import Layers, above
from backtime.runtime.sequence_encoder import SequenceEncoder

Run = Callable[[dict[str, Any]], dict[str, Any]]
Pairs = list[tuple[Array, Array]]  # ours, theirs


def check(model: ModelFile, parts: dict[str, bytes], trials: Sequence[Trial]) -> list[str]:
    """A line for each trial; raises ``UsageError`` where outputs are too far apart."""
    runs, lines = {end: session(content) for end, content in parts.items()}, []
    for trial in trials:
        pairs = [pair for batch in trial.batches for pair in _compare(model, runs, batch)]
        worst, largest = agreement(pairs, f"{trial.batched} ONNX Runtime and the engine")
        lines.append(f"ONNX Runtime agrees {found(trial.batched, worst, largest)}")
    return lines


def session(content: bytes) -> Run:
    """The file as a function from its inputs by name to its outputs by name."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    made = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    inputs, outputs = ([own.name for own in part] for part in (made.get_inputs(), made.get_outputs()))

    def run(given: dict[str, Any]) -> dict[str, Any]:
        own = {name: given[name] for name in inputs}
        try:
            return dict(zip(outputs, made.run(None, own), strict=True))
        except Exception as error:  # ONNX Runtime's own, of no common kind
            sizes = ", ".join(f"{name} {own[name].shape}" for name in inputs)
            reason = str(error).splitlines()[0]
            raise UsageError(f"ONNX Runtime does not run the file on {sizes}: {reason}") from error

    return run


def _compare(model: ModelFile, runs: dict[str, Run], batch: list[Any]) -> Pairs:
    if "" not in runs:
        return compare_writer(model, runs["-encoder"], runs["-decoder"], batch)
    return CHECKS[model.config.network](model, runs[""], batch)


def _aligned(model: ModelFile, run: Run, batch: list[Any]) -> Pairs:
    """Whole sequences, and each in two pieces, with the state handed over where its first one ends."""
    chain = chain_of(model, "onnx")
    rows = [own[0] if isinstance(own, tuple) else own for own in batch]
    ours, name = [chain.run(own) for own in rows], "tokens" if chain.symbols else "x"

    def piece(parts: list[Any], state: dict[str, Any]) -> dict[str, Any]:
        return run({name: padded(parts), "lengths": lengths_of(parts), **state})

    whole = piece(rows, _zeros(chain, len(rows)))["output"]
    pairs = [(own, whole[: len(own), b]) for b, own in enumerate(ours)]
    long = [(row, own, len(row) // 2) for row, own in zip(rows, ours, strict=True) if len(row) > 1]
    if long:
        first = piece([row[:half] for row, _, half in long], _zeros(chain, len(long)))
        state = {f"{part}_0": first[f"{part}_n"] for part in "hc" if f"{part}_n" in first}
        second = piece([row[half:] for row, _, half in long], state)["output"]
        for b, (_, own, half) in enumerate(long):
            pairs += [(own[:half], first["output"][:half, b]), (own[half:], second[: len(own) - half, b])]
    return pairs


def _zeros(chain: Chain, B: int) -> dict[str, Any]:
    zeros = np.zeros((chain.config.layers, B, chain.config.hidden_size), np.float32)
    return {"h_0": zeros, "c_0": zeros}


def _vectors(model: ModelFile, run: Run, batch: list[Any]) -> Pairs:
    """A vector for each sequence: scores, a number, or of a network that compares texts one of length 1."""
    config: Any = model.config
    network, name = SequenceEncoder(config, model.tensors), "tokens" if config.symbols else "x"
    theirs = run({name: padded(batch), "lengths": lengths_of(batch)})["output"]
    ours = np.concatenate([network.vectors(Packed(own, np.ones(len(own), np.int64))) for own in batch])
    if config.network == "similarity":
        return [(ours / np.sqrt((ours * ours).sum(1, keepdims=True)), theirs)]
    return [(_head(model, ours), theirs)]


def _forecaster(model: ModelFile, run: Run, batch: list[Any]) -> Pairs:
    config: Any = model.config
    if config.strategy == "recursive":
        return _aligned(model, run, batch)
    tensors, rows = model.tensors, [x for x, _ in batch]
    given = {"x": padded(rows), "lengths": lengths_of(rows), "known": np.stack([own for _, own in batch], 1)}
    theirs = run(given)["output"]
    layers, pairs = Layers(config, tensors, "rnn"), []
    for b, (x, known) in enumerate(batch):
        _, last = layers.run(x, np.ones(len(x), np.int64))
        (h,) = above(config, tensors, last)
        ours = _head(model, h).reshape(config.horizon, -1)
        if "decoder.0.weight" in tensors:
            both = np.concatenate([np.broadcast_to(h, (config.horizon, len(h))), known], 1)
            inside = np.tanh(both @ tensors["decoder.0.weight"].T + tensors["decoder.0.bias"])
            ours = ours + inside @ tensors["decoder.2.weight"].T
        pairs.append((ours, theirs[:, b]))
    return pairs


def _tagger(model: ModelFile, run: Run, batch: list[Any]) -> Pairs:
    config: Any = model.config
    tensors = model.tensors
    distinct = sorted({letters for sentence in batch for _, letters in sentence})
    place = {letters: d for d, letters in enumerate(distinct)}
    given = {
        "words": padded([np.array([word for word, _ in own]) for own in batch]),
        "spelled": padded([np.array([place[letters] for _, letters in own]) for own in batch]),
        "lengths": lengths_of(batch),
        "letters": padded([np.array(letters) for letters in distinct]),
        "letter_lengths": lengths_of(distinct),
    }
    theirs = run(given)["output"]
    spelling, layers = Layers(config.spelling, tensors, "spelling"), Layers(config, tensors, "rnn")

    def spell(letters: tuple[int, ...]) -> Array:
        rows = tensors["characters.weight"][list(letters)]
        found: Array = spelling.run(rows, np.ones(len(rows), np.int64))[1][0]
        return found

    vectors, pairs = np.stack([spell(own) for own in distinct]), []
    for b, own in enumerate(batch):
        spelled = vectors[[place[letters] for _, letters in own]]
        x = np.concatenate([tensors["words.weight"][[word for word, _ in own]], spelled], 1)
        y = above(config, tensors, layers.run(x, np.ones(len(x), np.int64))[0])
        pairs.append((_head(model, y), theirs[: len(own), b]))
    return pairs


def _transcriber(model: ModelFile, run: Run, batch: list[Any]) -> Pairs:
    config: Any = model.config
    theirs = run({"x": padded(batch), "lengths": lengths_of(batch)})["output"]
    layers, pairs = Layers(config, model.tensors, "rnn"), []
    for b, x in enumerate(batch):
        y = above(config, model.tensors, layers.run(x, np.ones(len(x), np.int64))[0])
        pairs.append((_head(model, y), theirs[: len(x), b]))
    return pairs


def _head(model: ModelFile, y: Array) -> Array:
    found: Array = y @ model.tensors["head.weight"].T + model.tensors["head.bias"]
    return found


CHECKS: dict[str, Callable[[ModelFile, Run, list[Any]], Pairs]] = {
    "aligned": _aligned,
    "piano": _aligned,
    "recommender": _aligned,
    "reader": _vectors,
    "regressor": _vectors,
    "similarity": _vectors,
    "forecaster": _forecaster,
    "tagger": _tagger,
    "transcriber": _transcriber,
}
