"""Weights from and to Keras, with Keras itself as the witness where it is installed, on PyTorch."""

import os
import warnings
from typing import Any

import numpy as np
import pytest

from backtime import UsageError, kernels
from backtime.interchange import keras as ours

T, B, I, H = 5, 3, 4, 6
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras reads PyTorch's parameters
CASES = [("rnn", {}), ("lstm", {}), ("gru", {"reset_after": True}), ("gru", {"reset_after": False})]


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


def layer_of(keras: Any, cell: str, form: dict[str, Any], bias: bool) -> Any:
    kind = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    layer = kind(H, return_sequences=True, use_bias=bias, **form)
    layer.build((B, T, I))
    random = np.random.default_rng(1)
    layer.set_weights([random.uniform(-1, 1, w.shape).astype(np.float32) for w in layer.get_weights()])
    return layer


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(("cell", "form"), CASES)
def test_a_layer_of_keras_computes_the_same_here_and_back(
    keras: Any, cell: str, form: dict[str, bool], bias: bool
) -> None:
    layer = layer_of(keras, cell, form, bias)
    x = np.random.default_rng(2).standard_normal((T, B, I), np.float32)
    expected = keras.ops.convert_to_numpy(layer(x.transpose(1, 0, 2))).transpose(1, 0, 2)
    config = layer.get_config()
    weights = ours.from_keras(cell, layer.get_weights(), config=config)
    y, _, _ = kernels.forward(cell, x, None, weights, **ours.options(cell, config))
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)
    for found, given in zip(ours.to_keras(cell, weights, *form.values()), layer.get_weights(), strict=bias):
        np.testing.assert_array_equal(found, given)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "linear"])
def test_the_activation_of_a_layer_of_keras_comes_from_its_configuration(keras: Any, activation: str) -> None:
    layer = layer_of(keras, "rnn", {"activation": activation}, True)
    x = np.random.default_rng(2).standard_normal((T, B, I), np.float32)
    expected = keras.ops.convert_to_numpy(layer(x.transpose(1, 0, 2))).transpose(1, 0, 2)
    config = layer.get_config()
    weights = ours.from_keras("rnn", layer.get_weights(), config=config)
    y, _, _ = kernels.forward("rnn", x, None, weights, **ours.options("rnn", config))
    # relu and linear grow: float32's 1e-7 of the largest, summed over I + H products
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        ("lstm", {"recurrent_activation": "hard_sigmoid"}),
        ("gru", {"recurrent_activation": "hard_sigmoid"}),
        ("lstm", {"activation": "relu"}),
        ("rnn", {"activation": "hard_sigmoid"}),
    ],
)
def test_an_activation_that_the_cells_have_not_is_refused(keras: Any, cell: str, form: Any) -> None:
    layer = layer_of(keras, cell, form, True)
    (name, value) = next(iter(form.items()))
    with pytest.raises(UsageError, match=f"{name} is '{value}' in config"):
        ours.from_keras(cell, layer.get_weights(), config=layer.get_config())


def test_both_directions_of_keras_are_told_apart(keras: Any) -> None:
    both = keras.layers.Bidirectional(keras.layers.LSTM(H, return_sequences=True))
    both.build((B, T, I))
    with pytest.raises(UsageError, match="forward_layer or backward_layer"):
        ours.options("lstm", both.get_config())
    assert ours.options("lstm", both.forward_layer.get_config()) == {}
    assert ours.options("lstm", both.backward_layer.get_config()) == {"reverse": True}
