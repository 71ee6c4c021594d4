"""Weights from and to Keras, with Keras itself as the witness where it is installed, on PyTorch."""

import os
import warnings
from typing import Any

import numpy as np
import pytest

from backtime import kernels
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


def layer_of(keras: Any, cell: str, form: dict[str, bool], bias: bool) -> Any:
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
    weights = ours.from_keras(cell, layer.get_weights(), *form.values())
    y, _, _ = kernels.forward(cell, x, None, weights, **form)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)
    for found, given in zip(ours.to_keras(cell, weights, *form.values()), layer.get_weights(), strict=bias):
        np.testing.assert_array_equal(found, given)
