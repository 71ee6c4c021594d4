"""RTNeural's JSON: GRU, LSTM and dense layers, weights as Keras has them. For audio plug-ins in C++.

    {"in_shape": [null, null, I],
     "layers": [{"type": "gru", "activation": "", "shape": [null, null, H], "weights": [W, R, b]},
                {"type": "dense", "activation": "", "shape": [null, null, O], "weights": [W, b]}]}

Its loader is ``RTNeural/model_loader.h``; Chowdhury, arXiv 2106.03037.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backtime.errors import UsageError
from backtime.export.chain import Chain, chain_of, forward_only
from backtime.export.keras_weights import weights_of
from backtime.export.made import Made
from backtime.export.trials import Trial, found
from backtime.interchange.agreement import agreement
from backtime.models.file import ModelFile


def make(model: ModelFile, out: Path, trials: Sequence[Trial]) -> Made:
    """The JSON; it is computed as RTNeural does, in NumPy."""
    chain = chain_of(model, "rtneural")
    value, lines = layers_of(chain), []
    for trial in trials:
        pairs = [(chain.run(x), _computed(chain, value, x)) for x in trial.plain()]
        worst, largest = agreement(pairs, f"{trial.told} RTNeural's sums and the engine")
        lines.append(f"computed as RTNeural does {found(trial.told, worst, largest)}")
    return Made({out: json.dumps(value).encode()}, lines)


def _computed(chain: Chain, value: dict[str, Any], x: Any) -> Any:
    """The outputs for a sequence, of which symbols are one-hot rows."""
    every = compute(value, chain.rows(x))
    return every if chain.every else every[-1]


def layers_of(chain: Chain) -> dict[str, Any]:
    """The JSON's value."""
    config = chain.config
    forward_only(chain, "rtneural")
    if config.cell == "rnn":
        raise UsageError("the cell is rnn; RTNeural has gru and lstm")
    if config.cell == "gru" and not config.reset_after:
        raise UsageError("the gru resets before the product; RTNeural's resets after it")
    if chain.embedding is not None:
        raise UsageError("the model has an embedding; RTNeural has no place for it: expected one-hot input")
    lists = weights_of(chain)
    each = [(config.cell, config.hidden_size, lists[f"rnn_{n}"]) for n in range(config.layers)]
    each.append(("dense", len(chain.by), lists["head"]))
    layers = [
        {"type": kind, "activation": "", "shape": [None, None, size], "weights": [w.tolist() for w in own]}
        for kind, size, own in each
    ]
    return {"in_shape": [None, None, chain.inputs], "layers": layers}


def compute(made: dict[str, Any], x: Any) -> Any:
    """The outputs (T, O) of that JSON for x (T, I): RTNeural's layers, step by step, in float64."""
    y = np.asarray(x, np.float64)
    for layer in made["layers"]:
        weights = [np.array(own, np.float64) for own in layer["weights"]]
        y = y @ weights[0] + weights[1] if layer["type"] == "dense" else STEPS[layer["type"]](weights, y)
    return y


def _lstm(weights: list[Any], x: Any) -> Any:
    """Gates in Keras's order i f c o."""
    kernel, recurrent, bias = weights
    h = c = np.zeros(len(recurrent))
    out = []
    for row in x:
        i, f, g, o = np.split(row @ kernel + h @ recurrent + bias, 4)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.array(out)


def _gru(weights: list[Any], x: Any) -> Any:
    """Gates in Keras's order z r n, with a bias on either side."""
    kernel, recurrent, bias = weights
    h, out = np.zeros(len(recurrent)), []
    for row in x:
        zx, rx, nx = np.split(row @ kernel + bias[0], 3)
        zh, rh, nh = np.split(h @ recurrent + bias[1], 3)
        z, r = _sigmoid(zx + zh), _sigmoid(rx + rh)
        h = (1 - z) * np.tanh(nx + r * nh) + z * h
        out.append(h)
    return np.array(out)


STEPS = {"lstm": _lstm, "gru": _gru}


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))
