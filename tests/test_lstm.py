"""LSTM: against its definition, numeric differentiation and torch; engine against reference; refusals."""

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
from backtime.reference import lstm
from cases import OPTION_CASES, SHAPES, SMALL, Case, P, dot, make, train_step
from witness import torch_layer


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def test_forward_is_its_definition(backend: str) -> None:
    """One unit of one sequence after the other, in plain numbers."""
    T, B, I, H = 3, 2, 4, 5
    case = make("lstm", T, B, I, H)
    x, (h0, c0), weights, _, _ = case
    Wx, Wh, bx, bh = weights[:4]
    y, (hT, cT), _ = kernels.forward("lstm", x, (h0, c0), case.weights, backend=backend)
    for b in range(B):
        h, c = list(h0[b]), list(c0[b])
        for t in range(T):
            z = [dot(Wx[k], x[t, b]) + bx[k] + dot(Wh[k], h) + bh[k] for k in range(4 * H)]
            for k in range(H):
                i, f, g, o = sigmoid(z[k]), sigmoid(z[H + k]), math.tanh(z[2 * H + k]), sigmoid(z[3 * H + k])
                c[k] = f * c[k] + i * g
                h[k] = o * math.tanh(c[k])
            np.testing.assert_allclose(y[t, b], h, rtol=0, atol=1e-14)
        np.testing.assert_allclose(hT[b], h, rtol=0, atol=1e-14)
        np.testing.assert_allclose(cT[b], c, rtol=0, atol=1e-14)


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("shape", SMALL)
def test_gradient_is_the_numeric_one(backend: str, shape: tuple[int, ...], one_hot: bool) -> None:
    check_layer("lstm", make("lstm", *shape, one_hot=one_hot), backend)


@pytest.mark.parametrize("shape", SHAPES)
def test_torch_bears_witness(shape: tuple[int, ...]) -> None:
    case = make("lstm", *shape)
    assert_close(train_step("lstm", case), torch_layer("lstm", case), TORCH_TOLERANCE)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[3] > P])  # torch: P smaller than H
def test_torch_bears_witness_for_the_projection(shape: tuple[int, ...]) -> None:
    case = make("lstm", *shape, extras=("Wy",))
    assert_close(train_step("lstm", case), torch_layer("lstm", case), TORCH_TOLERANCE)


def test_every_option_at_once_is_its_definition() -> None:
    """One unit of one sequence after the other, in plain numbers, with peepholes that see the cell."""
    T, B, I, H = 3, 2, 4, 5
    case, options = OPTION_CASES["lstm everything"].build(T, B, I, H)
    w = case.weights
    y, last, _ = kernels.forward("lstm", case.x, case.state, w, backend="reference", **options)
    for b in range(B):
        h, c = list(case.state[0][b]), list(case.state[1][b])
        for t in range(T):
            if options["reset"][t, b]:
                h, c = [0.0] * P, [0.0] * H
            met = [options["h_mask"][b, k] * h[k] for k in range(P)]
            ax = normalised([dot(w.Wx[k], case.x[t, b]) for k in range(4 * H)])
            ah = normalised([dot(w.Wh[k], met) for k in range(4 * H)])
            z = [ax[k] * w.gx[k] + w.bx[k] + ah[k] * w.gh[k] + w.bh[k] for k in range(4 * H)]
            i = [sigmoid(z[k] + w.p[0, k] * c[k]) for k in range(H)]
            f = [sigmoid(z[H + k] + w.p[1, k] * c[k]) for k in range(H)]
            c_new = [f[k] * c[k] + i[k] * math.tanh(z[2 * H + k]) for k in range(H)]
            o = [sigmoid(z[3 * H + k] + w.p[2, k] * c_new[k]) for k in range(H)]
            s = normalised(c_new)
            v = [o[k] * math.tanh(s[k] * w.gc[k] + w.bc[k]) for k in range(H)]
            h_new = [dot(w.Wy[k], v) for k in range(P)]
            c = [n + keep * (k - n) for n, k, keep in zip(c_new, c, options["keep_c"][t, b], strict=True)]
            h = [n + keep * (k - n) for n, k, keep in zip(h_new, h, options["keep_h"][t, b], strict=True)]
            np.testing.assert_allclose(y[t, b], h, rtol=0, atol=1e-13)
        np.testing.assert_allclose(last[0][b], h, rtol=0, atol=1e-13)
        np.testing.assert_allclose(last[1][b], c, rtol=0, atol=1e-13)


def normalised(a: list[float]) -> list[float]:
    mean = sum(a) / len(a)
    return [(k - mean) / math.sqrt(sum((j - mean) ** 2 for j in a) / len(a) + 1e-5) for k in a]


def test_coupled_gates_are_one_gate() -> None:
    """f = 1 - i whatever the rows of f hold; they have no gradient."""
    case = make("lstm", 4, 2, 3, 5, extras=("p",))
    other = {n: getattr(case.weights, n).copy() for n in ("Wx", "Wh", "bx", "bh", "p")}
    for n, value in other.items():
        value[slice(1, 2) if n == "p" else slice(5, 10)] = 100.0
    found, same = (train_step("lstm", c, coupled=True)
                   for c in (case, case._replace(weights=case.weights._replace(**other))))  # fmt: skip
    assert all(np.array_equal(found[name], same[name]) for name in found)
    assert not any(found[f"d{n}"][5:10].any() for n in ("Wx", "Wh", "bx", "bh"))
    assert not found["dp"][1].any()
    (_, c), i, f, g, _, _ = lstm.step(case.x[0], case.state, case.weights, coupled=True)
    np.testing.assert_array_equal(f, 1 - i)
    np.testing.assert_array_equal(c, (1 - i) * case.state[1] + i * g)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_reference(backend: str, shape: tuple[int, ...], one_hot: bool, dtype: Any) -> None:
    assert_agrees("lstm", make("lstm", *shape, dtype, one_hot), backend)


def test_chunks_are_the_whole() -> None:
    assert_chunks_are_the_whole("lstm")


def test_integers_are_one_hot_vectors(backend: str) -> None:
    assert_one_hot_is_vectors("lstm", backend)


def test_none_is_zeros(backend: str) -> None:
    assert_none_is_zeros("lstm", backend)


def test_inputs_are_left_alone(backend: str) -> None:
    assert_inputs_are_left_alone("lstm", backend)


def test_empty_is_no_step() -> None:
    assert_empty_is_no_step("lstm")


def test_a_step_gives_its_gates() -> None:
    case = make("lstm", 1, 2, 3, 4)
    (h, c), i, f, g, o, c_new = lstm.step(case.x[0], case.state, case.weights)
    y, (hT, cT), _ = lstm.forward(case.x, case.state, case.weights)
    np.testing.assert_array_equal(h, hT)
    np.testing.assert_array_equal(c, cT)
    np.testing.assert_array_equal(c, c_new)
    np.testing.assert_array_equal(c, f * case.state[1] + i * g)
    np.testing.assert_array_equal(y[0], o * np.tanh(c))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturated_gates_are_exact_and_silent(backend: str, dtype: Any) -> None:
    """Pre-activations of +-1000: open and closed gates, no overflow (a warning is an error here)."""
    case = make("lstm", 2, 2, 3, 4, dtype)
    bias = np.repeat(np.array([1000, 1000, 1000, -1000], dtype), 4)
    y, (_, c), tape = kernels.forward(
        "lstm", case.x, case.state, case.weights._replace(bx=bias), backend=backend
    )
    np.testing.assert_allclose(c, case.state[1] + 2, rtol=4 * np.finfo(dtype).eps)  # i = f = g = 1
    np.testing.assert_array_equal(y, 0)  # o = 0
    gradients = kernels.backward(tape, case.dy, case.dstate)
    np.testing.assert_array_equal(gradients.dstate[1], case.dstate[1])  # the cell's line is untouched
    np.testing.assert_array_equal(gradients.dweights.Wx, 0)


def weights_with(**changes: Any) -> Any:
    return lambda case: case._replace(weights=case.weights._replace(**changes))


REFUSED: list[tuple[Any, str]] = [
    (lambda c: c._replace(x=np.zeros((5, 2, 4))), "x has shape (5, 2, 4); expected (T, B, I) = (5, 2, 3)"),
    (lambda c: c._replace(x=np.zeros((5, 2))), "x has shape (5, 2); expected (T, B, I)"),
    (lambda c: c._replace(x=np.zeros((5, 2, 3), int)), "x has shape (5, 2, 3); expected (T, B)"),
    (lambda c: c._replace(x=np.full((5, 2), 3)), "x has values from 3 to 3; expected 0 to I - 1 = 2"),
    (lambda c: c._replace(x=np.full((5, 2), -1)), "x has values from -1 to -1; expected 0 to I - 1 = 2"),
    (lambda c: c._replace(x=c.x > 0), "x is bool; expected float64 as the weights are, or integers"),
    (lambda c: c._replace(state=(np.zeros((2, 5)), None)), "h0 has shape (2, 5); expected (B, H) = (2, 4)"),
    (lambda c: c._replace(state=(None, np.zeros((1, 4)))), "c0 has shape (1, 4); expected (B, H) = (2, 4)"),
    (
        lambda c: c._replace(state=(None, np.zeros((2, 4), "f"))),
        "c0 is float32; expected float64 as the weights are",
    ),
    (lambda c: c._replace(state=c.state[:1]), "state has 1 parts; expected (h0, c0)"),
    (lambda c: c._replace(state=c.state[0]), "state is a ndarray; expected (h0, c0) or None"),
    (lambda c: c._replace(state=([0.0], None)), "h0 is a list; expected a NumPy array"),
    (weights_with(Wx=np.zeros((15, 3))), "Wx has shape (15, 3); expected (G*H, I) = (16, 3)"),
    (weights_with(Wx=np.zeros(16)), "Wx has shape (16,); expected (G*H, I)"),
    (weights_with(Wh=np.zeros((16, 5))), "Wh has shape (16, 5); expected (G*H, H) = (20, 5)"),
    (weights_with(bx=np.zeros((16, 1))), "bx has shape (16, 1); expected (G*H,) = (16,)"),
    (weights_with(bh=np.zeros(4)), "bh has shape (4,); expected (G*H,) = (16,)"),
]


@pytest.mark.parametrize(("spoil", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_bad_input_is_refused_in_one_line(backend: str, spoil: Any, message: str) -> None:
    case: Case = spoil(make("lstm", 5, 2, 3, 4))
    with pytest.raises(UsageError) as error:
        kernels.forward("lstm", case.x, case.state, case.weights, backend=backend)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c._replace(x=c.x.tolist()), "x is a list; expected a NumPy array"),
        (
            lambda c: c._replace(x=c.x.astype("f")),
            "x is float32; expected float64 as the weights are, or integers",
        ),
        (
            lambda c: c._replace(weights=tuple(c.weights)),
            "weights is a tuple; expected Weights(Wx, Wh, bx, bh)",
        ),
        (weights_with(Wx=np.zeros((16, 3), int)), "Wx is int64; expected a float type"),
        (weights_with(bh=np.zeros(16, "f")), "bh is float32; expected float64 as Wx is"),
    ],
)
def test_what_is_no_layer_at_all_is_refused(spoil: Any, message: str) -> None:
    case: Case = spoil(make("lstm", 5, 2, 3, 4))
    with pytest.raises(UsageError) as error:
        lstm.forward(case.x, case.state, case.weights)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("dy", "dstate", "message"),
    [
        (np.zeros((4, 2, 4)), None, "dy has shape (4, 2, 4); expected (T, B, H) = (5, 2, 4)"),
        (np.zeros((5, 2, 4), "f"), None, "dy is float32; expected float64 as y is"),
        (None, (np.zeros((2, 3)), None), "dh has shape (2, 3); expected (B, H) = (2, 4)"),
        (None, (None, np.zeros((3, 4))), "dc has shape (3, 4); expected (B, H) = (2, 4)"),
        (None, (None,), "dstate has 1 parts; expected (dh, dc)"),
    ],
)
def test_bad_cotangents_are_refused_in_one_line(backend: str, dy: Any, dstate: Any, message: str) -> None:
    case = make("lstm", 5, 2, 3, 4)
    tape = kernels.forward("lstm", case.x, case.state, case.weights, backend=backend)[2]
    with pytest.raises(UsageError) as error:
        kernels.backward(tape, dy, dstate)
    assert str(error.value) == message
