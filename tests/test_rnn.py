"""Elman RNN: against its definition, numeric differentiation and torch; engine against reference."""

import math
from typing import Any

import numpy as np
import pytest

from agreement import (
    TORCH_TOLERANCE,
    assert_agrees,
    assert_chunks_are_the_whole,
    assert_close,
    assert_empty_is_no_step,
    assert_inputs_are_left_alone,
    assert_none_is_zeros,
    assert_one_hot_is_vectors,
    check_layer,
)
from backtime import UsageError, kernels
from backtime.reference import rnn
from backtime.reference.activations import sigmoid
from backtime.reference.weights import Weights
from cases import SHAPES, SMALL, dot, make, train_step
from witness import torch_layer

ACTIVATIONS = {
    "tanh": math.tanh,
    "relu": lambda z: max(z, 0.0),
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "identity": lambda z: z,
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_is_its_definition(backend: str, activation: str) -> None:
    """One unit of one sequence after the other, in plain numbers."""
    T, B, I, H = 3, 2, 4, 5
    case = make("rnn", T, B, I, H)
    x, (h0,), weights, _, _ = case
    Wx, Wh, bx, bh = weights[:4]
    y, (hT,), _ = kernels.forward("rnn", x, (h0,), case.weights, backend=backend, activation=activation)
    for b in range(B):
        h = list(h0[b])
        for t in range(T):
            z = [dot(Wx[k], x[t, b]) + bx[k] + dot(Wh[k], h) + bh[k] for k in range(H)]
            h = [ACTIVATIONS[activation](zk) for zk in z]
            np.testing.assert_allclose(y[t, b], h, rtol=1e-14, atol=1e-14)
        np.testing.assert_array_equal(hT[b], y[-1, b])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("shape", SMALL)
def test_gradient_is_the_numeric_one(
    backend: str, shape: tuple[int, ...], one_hot: bool, activation: str
) -> None:
    check_layer("rnn", make("rnn", *shape, one_hot=one_hot), backend, activation=activation)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("shape", SHAPES)
def test_torch_bears_witness(shape: tuple[int, ...], nonlinearity: str) -> None:
    case = make("rnn", *shape)
    ours = train_step("rnn", case, activation=nonlinearity)
    assert_close(ours, torch_layer("rnn", case, nonlinearity=nonlinearity), TORCH_TOLERANCE)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_reference(backend: str, shape: tuple[int, ...], activation: str, dtype: Any) -> None:
    assert_agrees("rnn", make("rnn", *shape, dtype), backend, activation=activation)
    assert_agrees("rnn", make("rnn", *shape, dtype, one_hot=True), backend, activation=activation)


def test_relu_is_off_at_its_kink(backend: str) -> None:
    """z = 0 and z = -0 hand nothing back, as in PyTorch; a unit that is on hands back everything."""
    weights = Weights(np.eye(3), np.zeros((3, 3)), np.zeros(3), np.zeros(3))
    x = np.array([[[0.0, -0.0, 1e-300]]])
    tape = kernels.forward("rnn", x, None, weights, backend=backend, activation="relu")[2]
    dx = kernels.backward(tape, np.ones((1, 1, 3)), None).dx
    np.testing.assert_array_equal(dx, [[[0, 0, 1]]])


def test_a_gradient_that_vanishes_and_one_that_explodes(backend: str) -> None:
    """With identity and Wh = a, dh0 is a^T dh_T: the whole of BPTT in one number."""
    for a in (0.5, 1.0, 3.0):
        weights = Weights(np.ones((1, 1)), np.array([[a]]), np.zeros(1), np.zeros(1))
        tape = kernels.forward(
            "rnn", np.zeros((20, 1, 1)), None, weights, backend=backend, activation="identity"
        )[2]
        gradients = kernels.backward(tape, None, (np.ones((1, 1)),))
        assert gradients.dstate[0] == a**20
        np.testing.assert_array_equal(gradients.dx[:, 0, 0], a ** np.arange(19.0, -1, -1))


def test_the_sigmoid_is_silent_and_exact_at_both_ends() -> None:
    z = np.array([-800.0, -700.0, -40.0, 0.0, 40.0, 800.0, -np.inf, np.inf, np.nan])
    expected = [0.0, math.exp(-700), math.exp(-40), 0.5, 1.0, 1.0, 0.0, 1.0, np.nan]
    np.testing.assert_allclose(sigmoid(z), expected, rtol=1e-15, atol=0)
    assert sigmoid(z.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_chunks_are_the_whole(activation: str) -> None:
    assert_chunks_are_the_whole("rnn", activation=activation)


def test_integers_are_one_hot_vectors(backend: str) -> None:
    assert_one_hot_is_vectors("rnn", backend)


def test_none_is_zeros(backend: str) -> None:
    assert_none_is_zeros("rnn", backend)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_inputs_are_left_alone(backend: str, activation: str) -> None:
    assert_inputs_are_left_alone("rnn", backend, activation=activation)


def test_empty_is_no_step() -> None:
    assert_empty_is_no_step("rnn")


def test_a_step_gives_its_pre_activation() -> None:
    case = make("rnn", 1, 2, 3, 4)
    (h,), z, _ = rnn.step(case.x[0], case.state, case.weights)
    np.testing.assert_array_equal(h, np.tanh(z))
    np.testing.assert_array_equal(h, rnn.forward(case.x, case.state, case.weights)[0][0])


def test_bad_input_is_refused_in_one_line(backend: str) -> None:
    x, (h0,), weights, _, _ = make("rnn", 5, 2, 3, 4)
    for arguments, message in [
        ((x, (h0[:1],), weights), "h0 has shape (1, 4); expected (B, H) = (2, 4)"),
        ((x, (h0, h0), weights), "state has 2 parts; expected (h0,)"),
        ((x, h0, weights), "state is a ndarray; expected (h0,) or None"),
        ((x, None, weights._replace(Wh=np.zeros((4, 3)))), "Wh has shape (4, 3); expected (G*H, H) = (3, 3)"),
        ((x[:, :, :2], None, weights), "x has shape (5, 2, 2); expected (T, B, I) = (5, 2, 3)"),
    ]:
        with pytest.raises(UsageError) as error:
            kernels.forward("rnn", *arguments, backend=backend)
        assert str(error.value) == message


@pytest.mark.parametrize("T", [0, 2])
def test_an_unknown_activation_is_refused(T: int) -> None:
    case = make("rnn", T, 2, 3, 4)
    with pytest.raises(
        UsageError, match=r"^activation is 'elu'; expected one of tanh, relu, sigmoid, identity$"
    ):
        rnn.forward(case.x, None, case.weights, activation="elu")
