"""Networks from files: a trained model with a text, or plain numbers as JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError
from backtime.insight.unfolded.network import LARGEST_SIZE, Network, check_whole
from backtime.models.config import LanguageConfig
from backtime.models.file import ModelFile, PathLike, read_model
from backtime.reference.weights import Array, Weights
from backtime.runtime.layers import weights_of

NAMES = ("Wx", "Wh", "bx", "bh")
DEFAULT_STEPS = 2


def read_network(
    path: PathLike, text: str | None = None, steps: int | None = None, at: int | None = None, seed: int = 0
) -> Network:
    """The network of a ``.json`` file of numbers; or that of a model file or run folder, reading ``text``.

    A language model reads the first T symbols of the text's last T + 1 and is to predict the one that
    follows step ``at`` (the last when None). Without a text, the symbols are drawn at random by ``seed``.
    ``steps`` is T; None is all of the text. Raises ``UsageError`` in one line.
    """
    if Path(path).suffix != ".json":
        file = read_model(path)
        return model_network(file, _symbols(file, text, steps, seed), at)
    if text is not None or steps is not None:
        raise UsageError(f"{'text' if text is not None else 'steps'} is given; {path} has its own sequence x")
    return _read_numbers(Path(path))


def model_network(file: ModelFile, ids: Any, at: int | None = None) -> Network:
    """A language model unfolded over all symbols but the last; the target is the one after step ``at``."""
    config, tensors = _language(file), file.tensors
    if at is not None and not 1 <= at < len(ids):
        raise UsageError(f"at is {at}; expected a step from 1 to {len(ids) - 1}")
    for words in config.recurrent.beyond:
        raise UsageError(f"the model has {words}; expected plain layers under an output, for derivations")
    table = tensors["head.weight"] if config.tie_weights else tensors.get("embedding.weight")
    return Network(
        config.cell,
        [own for (own,) in weights_of(config.recurrent, tensors, "rnn")],
        tensors["head.weight"],
        tensors["head.bias"],
        _one_hot(ids[:-1], config.vocabulary_size) if table is None else table[ids[:-1]],
        int(ids[-1] if at is None else ids[at]),
        loss="cross-entropy",
        options=config.options(),
    )


def _one_hot(ids: Any, V: int) -> Array:
    x = np.zeros((len(ids), V))
    x[np.arange(len(ids)), ids] = 1
    return x


def _language(file: ModelFile) -> LanguageConfig:
    if not isinstance(file.config, LanguageConfig):
        raise UsageError(f"a model for the task {file.task!r}; expected one that reads and writes text")
    return file.config


def network_to_json(network: Network) -> dict[str, Any]:
    """The numbers as a value for JSON; ``network_from_json`` reads it back equal."""
    layers = [{name: getattr(weights, name).tolist() for name in NAMES} for weights in network.layers]
    arrays = {name: getattr(network, name).tolist() for name in ("Wy", "by", "x", "target")}
    state = [[part.tolist() for part in own] for own in network.state or []]
    head = {"cell": network.cell, "loss": network.loss, "options": network.options}
    return head | {"layers": layers, "state": state} | arrays


def network_from_json(value: Any) -> Network:
    """The network of ``network_to_json``'s value; state, loss, options and biases may be absent."""
    if not isinstance(value, dict):
        raise UsageError(f"the network is {str(value)[:40]!r}; expected an object")
    known = ("cell", "layers", "Wy", "by", "x", "target", "state", "loss", "options")
    if strange := sorted(set(value) - set(known)):
        raise UsageError(f"the network has {strange[0][:40]!r}; expected of {', '.join(known)}")
    if missing := [name for name in known[:6] if name not in value]:
        raise UsageError(f"the network lacks {missing[0]}")
    if not isinstance(value["layers"], list) or not isinstance(value.get("options", {}), dict):
        raise UsageError("the network has layers or options of another form; expected a list and an object")
    return Network(**(value | {"layers": [_layer(each) for each in value["layers"]]}))


def _layer(value: Any) -> Weights:
    if not isinstance(value, dict) or set(value) - set(NAMES) or not {"Wx", "Wh"} <= set(value):
        raise UsageError(f"a layer is {str(value)[:40]!r}; expected an object with Wx, Wh, bx and bh")
    zeros = [0.0] * len(value["Wx"]) if isinstance(value["Wx"], list) else []
    return Weights(*(value.get(name, zeros) for name in NAMES))


def _read_numbers(path: Path) -> Network:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    try:
        return network_from_json(value)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _symbols(file: ModelFile, text: str | None, steps: int | None, seed: int) -> Any:
    """T + 1 symbols, from the text or by chance."""
    check_whole("seed", seed, 0)
    if steps is not None:
        check_whole("steps", steps, 1, LARGEST_SIZE)
    if text is None:
        V = _language(file).vocabulary_size
        return np.random.default_rng(seed).integers(0, V, (steps or DEFAULT_STEPS) + 1)
    ids = Vocabulary.from_json(file.encoding["vocabulary"]).encode(text)
    least = (steps or 1) + 1
    if len(ids) < least:
        raise UsageError(f"text has {len(ids)} symbols; expected at least {least}: the steps and the target")
    return ids if steps is None else ids[-least:]
