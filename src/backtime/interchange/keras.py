"""Keras: ``get_weights()`` of SimpleRNN, GRU and LSTM as Weights, and back. A list of NumPy arrays.

    kernel (I, G*H), recurrent kernel (H, G*H), bias (G*H,)      gates: LSTM i f g o; GRU z r n
    GRU with reset_after (Keras's default): bias (2, 3H), of the input and of the hidden state
    Bidirectional: the list of the forward layer, then that of the backward layer

Keras has one bias where backtime has two: it comes in as bx, and goes out as bx + bh. What the weights do not
show, the activations above all, stands in ``get_config()`` of the layer.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backtime.errors import UsageError
from backtime.interchange.gates import KERAS, OWN, reorder
from backtime.reference.weights import Array, Weights

ACTIVATIONS = {"tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid", "linear": "identity"}  # of SimpleRNN
USUAL = {"activation": "tanh", "recurrent_activation": "sigmoid"}  # Keras's defaults, and all that gates have


class AssumedWarning(UserWarning):
    """What weights do not show was taken for Keras's default, for no configuration of the layer was given."""


def from_keras(
    cell: str,
    arrays: Sequence[Array],
    reset_after: bool | None = None,
    config: Mapping[str, Any] | None = None,
) -> Weights:
    """Weights of one layer and direction.

    ``config`` is the layer's ``get_config()``: what is in it that backtime has not is refused, and
    ``options`` tells what the cell needs. Without it an ``AssumedWarning`` says what was assumed, and
    ``reset_after`` of a GRU, which is in it, is True or as given.
    """
    _check_cell(cell)
    if len(arrays) not in (2, 3):
        raise UsageError(
            f"arrays has {len(arrays)} parts; expected kernel, recurrent kernel and, with it, bias"
        )
    after = _reset_after(cell, reset_after, config)
    Wx, Wh = (reorder(np.asarray(a).T, KERAS[cell], OWN[cell]) for a in arrays[:2])
    GH = len(Wx)
    two = cell == "gru" and after
    biases = np.zeros((2, GH), Wx.dtype)
    if len(arrays) == 3:
        given, wanted = np.asarray(arrays[2]), (2, GH) if two else (GH,)
        if given.shape != wanted:
            form = f" with reset_after={after}" if cell == "gru" else ""
            raise UsageError(f"bias has shape {given.shape}; expected {wanted}{form}")
        biases[: 1 + two] = given
    bx, bh = (reorder(b, KERAS[cell], OWN[cell]) for b in biases)
    if config is None:
        _say_what_was_assumed(cell, reset_after)
    return Weights(Wx, Wh, bx, bh)


def options(cell: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What ``backtime.kernels.forward`` needs beside the weights, from the layer's ``get_config()``.

    ``activation`` of SimpleRNN, ``reset_after`` of GRU, ``reverse`` of a layer that goes backwards (whose
    outputs stand here in the order of time, there in that of the steps). Raises ``UsageError`` for an
    activation that backtime's cells have not, ``hard_sigmoid`` say.
    """
    _check_cell(cell)
    if "layer" in config:
        raise UsageError(
            "config is that of a layer around others; expected that of one direction, "
            "get_config() of forward_layer or backward_layer"
        )
    found: dict[str, Any] = {"reverse": True} if config.get("go_backwards", False) else {}
    if cell == "rnn":
        name = _name(config.get("activation", "tanh"))
        if name not in ACTIVATIONS:
            raise UsageError(f"activation is {name!r} in config; expected one of {', '.join(ACTIVATIONS)}")
        return found | ({} if name == "tanh" else {"activation": ACTIVATIONS[name]})
    for setting, usual in USUAL.items():
        name = _name(config.get(setting, usual))
        if name != usual:
            raise UsageError(f"{setting} is {name!r} in config; expected {usual!r}, which the {cell} has")
    return found | ({"reset_after": bool(config.get("reset_after", True))} if cell == "gru" else {})


def to_keras(cell: str, weights: Weights, reset_after: bool = True) -> list[Array]:
    """``[kernel, recurrent kernel, bias]`` for ``set_weights``."""
    _check_cell(cell)
    beyond = [name for name, value in weights._asdict().items() if name not in _OWN and value is not None]
    if beyond:
        raise UsageError(f"weights have {', '.join(beyond)}; Keras has a place for {', '.join(_OWN)} alone")
    Wx, Wh, bx, bh = (reorder(a, OWN[cell], KERAS[cell]) for a in weights[:4])
    bias = np.stack([bx, bh]) if cell == "gru" and reset_after else bx + bh
    return [np.ascontiguousarray(Wx.T), np.ascontiguousarray(Wh.T), bias]


_OWN = ("Wx", "Wh", "bx", "bh")


def _check_cell(cell: str) -> None:
    if cell not in KERAS:
        raise UsageError(f"cell is {cell!r}; expected one of {', '.join(KERAS)}")


def _reset_after(cell: str, given: bool | None, config: Mapping[str, Any] | None) -> bool:
    """Keras's form of the GRU, after a look at the rest of the configuration."""
    if config is None:
        return True if given is None else given
    told = bool(options(cell, config).get("reset_after", True))
    if given is not None and given != told and cell == "gru":
        raise UsageError(f"reset_after is {given}, but {told} in config; expected one of them, or the same")
    return told


def _say_what_was_assumed(cell: str, reset_after: bool | None) -> None:
    assumed = USUAL if cell != "rnn" else {"activation": "tanh"}
    words = [f"{name}={value!r}" for name, value in assumed.items()]
    words += ["reset_after=True"] if cell == "gru" and reset_after is None else []
    warnings.warn(
        f"config is not given: assumed {', '.join(words)}, Keras's defaults, which weights do not show; "
        "give config=layer.get_config()",
        AssumedWarning,
        stacklevel=3,
    )


def _name(activation: Any) -> str:
    """Of a function of Keras's its name; of one that is registered or custom, as it stands in the config."""
    if isinstance(activation, Mapping):
        inner = activation.get("config")
        return str(inner if isinstance(inner, str) else activation.get("class_name", activation))
    return "linear" if activation is None else str(getattr(activation, "__name__", activation))
