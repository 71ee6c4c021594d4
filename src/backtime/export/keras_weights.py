"""Keras: for each layer the list that ``set_weights`` takes, in an ``.npz`` file; NumPy alone.

embedding/0                  Embedding(V, E)
rnn_0/0, rnn_0/1, rnn_0/2    SimpleRNN, GRU or LSTM(H, return_sequences=True), one for each layer
    rnn_0_reverse/0 ...          the backward layer, with which Bidirectional's list goes on
head/0, head/1               Dense(O)
"""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from backtime.export.chain import Chain, chain_of
from backtime.export.made import Made
from backtime.export.trials import Trial, found
from backtime.interchange.agreement import agreement
from backtime.interchange.keras import from_keras, options, to_keras
from backtime.models.file import ModelFile
from backtime.reference.weights import Array


def make(model: ModelFile, out: Path, trials: Sequence[Trial]) -> Made:
    """The lists; what is read back from them is run."""
    chain = chain_of(model, "keras")
    lists = weights_of(chain)
    back, lines = _read_back(chain, lists), []  # one bias in place of two: rounded once more
    for trial in trials:
        pairs = [(chain.run(x), back.run(x)) for x in trial.plain()]
        worst, largest = agreement(pairs, f"{trial.told} the model and the weights that came back")
        lines.append(f"read back and run {found(trial.told, worst, largest)}")
    content = BytesIO()
    arrays: Any = {f"{layer}/{n}": own for layer, each in lists.items() for n, own in enumerate(each)}
    np.savez(content, **arrays)
    shapes = [f"{layer}: {', '.join(str(own.shape) for own in each)}" for layer, each in lists.items()]
    return Made({out: content.getvalue()}, [*lines, *shapes])


def weights_of(chain: Chain) -> dict[str, list[Array]]:
    """Of each layer its list."""
    config = chain.config
    lists = {} if chain.embedding is None else {"embedding": [chain.embedding]}
    for n, each in enumerate(chain.layers):
        for own, end in zip(each, ("", "_reverse"), strict=False):
            lists[f"rnn_{n}{end}"] = to_keras(config.cell, own, config.reset_after)
    return lists | {"head": [chain.Wy.T.copy(), chain.by]}


def _read_back(chain: Chain, lists: dict[str, list[Array]]) -> Chain:
    """The chain that the lists make again."""
    config, tensors = chain.config, dict(chain.tensors)
    told = {"reset_after": config.reset_after, "activation": KERAS_NAMES.get(config.activation, "tanh")}
    options(config.cell, told)
    for name, each in lists.items():
        if name.startswith("rnn_"):
            own = from_keras(config.cell, each, config=told)
            n, _, reverse = name.removeprefix("rnn_").partition("_")
            end = f"l{n}" + ("_reverse" if reverse else "")
            for part, value in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), own, strict=False):
                assert value is not None  # the first four are always there
                tensors[f"rnn.{part}_{end}"] = value
    return replace(chain, tensors=tensors)


KERAS_NAMES = {"tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid", "identity": "linear"}
