"""GRU, both forms: against the definition, numeric differentiation and torch; engine against reference."""

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
from backtime.reference import gru
from cases import SHAPES, SMALL, dot, engine_or_skip, make, train_step
from witness import torch_layer

FORMS = [True, False]  # reset_after


@pytest.fixture(params=[("reference", True), ("reference", False), ("native", True)], ids=str)
def backend_and_form(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """The engine has the form of PyTorch, the reference both."""
    backend, reset_after = request.param
    if backend == "native":
        engine_or_skip()
    return backend, reset_after


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def test_forward_is_its_definition(backend_and_form: tuple[str, bool]) -> None:
    """One unit of one sequence after the other, in plain numbers."""
    backend, reset_after = backend_and_form
    T, B, I, H = 3, 2, 4, 5
    case = make("gru", T, B, I, H)
    x, (h0,), weights, _, _ = case
    Wx, Wh, bx, bh = weights[:4]
    y, (hT,), _ = kernels.forward("gru", x, (h0,), case.weights, backend=backend, reset_after=reset_after)
    for b in range(B):
        h = list(h0[b])
        for t in range(T):
            zx = [dot(Wx[k], x[t, b]) + bx[k] for k in range(3 * H)]
            zh = [dot(Wh[k], h) + bh[k] for k in range(3 * H)]
            r = [sigmoid(zx[k] + zh[k]) for k in range(H)]
            z = [sigmoid(zx[H + k] + zh[H + k]) for k in range(H)]
            if reset_after:
                n = [math.tanh(zx[2 * H + k] + r[k] * zh[2 * H + k]) for k in range(H)]
            else:
                rh = [r[k] * h[k] for k in range(H)]
                n = [math.tanh(zx[2 * H + k] + dot(Wh[2 * H + k], rh) + bh[2 * H + k]) for k in range(H)]
            h = [(1 - z[k]) * n[k] + z[k] * h[k] for k in range(H)]
            np.testing.assert_allclose(y[t, b], h, rtol=0, atol=1e-14)
        np.testing.assert_array_equal(hT[b], y[-1, b])


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("shape", SMALL)
def test_gradient_is_the_numeric_one(
    backend_and_form: tuple[str, bool], shape: tuple[int, ...], one_hot: bool
) -> None:
    backend, reset_after = backend_and_form
    check_layer("gru", make("gru", *shape, one_hot=one_hot), backend, reset_after=reset_after)


@pytest.mark.parametrize("shape", SHAPES)
def test_torch_bears_witness(shape: tuple[int, ...]) -> None:
    case = make("gru", *shape)
    assert_close(train_step("gru", case), torch_layer("gru", case), TORCH_TOLERANCE)


@pytest.mark.parametrize("shape", SHAPES)
def test_autograd_bears_witness_for_the_first_form(shape: tuple[int, ...]) -> None:
    """torch.nn has no GRU that resets before the product: its equations here, its derivative by autograd."""
    torch = pytest.importorskip("torch")
    case = make("gru", *shape)
    H = case.weights.Wh.shape[1]
    x, h0, *weights = (torch.tensor(a, requires_grad=True) for a in (case.x, *case.state, *case.weights[:4]))
    Wx, Wh, bx, bh = weights
    h, ys = h0, []
    for t in range(len(x)):
        zx = (x[t] @ Wx.T + bx).split(H, dim=1)
        r = torch.sigmoid(zx[0] + h @ Wh[:H].T + bh[:H])
        z = torch.sigmoid(zx[1] + h @ Wh[H : 2 * H].T + bh[H : 2 * H])
        n = torch.tanh(zx[2] + (r * h) @ Wh[2 * H :].T + bh[2 * H :])
        h = (1 - z) * n + z * h
        ys.append(h)
    y = torch.stack(ys)
    ((y * torch.tensor(case.dy)).sum() + (h * torch.tensor(case.dstate[0])).sum()).backward()
    names = ("dx", "dh0", "dWx", "dWh", "dbx", "dbh")
    expected = {n: a.grad.numpy() for n, a in zip(names, (x, h0, *weights), strict=True)}
    expected |= {"y": y.detach().numpy(), "hT": h.detach().numpy()}
    assert_close(train_step("gru", case, reset_after=False), expected, TORCH_TOLERANCE)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_reference(backend: str, shape: tuple[int, ...], one_hot: bool, dtype: Any) -> None:
    assert_agrees("gru", make("gru", *shape, dtype, one_hot), backend)


def test_the_two_forms_differ_and_meet_where_they_must() -> None:
    """With Wh_n = 0 and bh_n = 0 there is nothing to reset; in general the forms are different networks."""
    case = make("gru", 4, 2, 3, 5)
    assert np.abs(gru.forward(case.x, case.state, case.weights, True)[0]
                  - gru.forward(case.x, case.state, case.weights, False)[0]).max() > 0.01  # fmt: skip
    Wh, bh = case.weights.Wh.copy(), case.weights.bh.copy()
    Wh[10:], bh[10:] = 0, 0
    case = case._replace(weights=case.weights._replace(Wh=Wh, bh=bh))
    after, before = (train_step("gru", case, reset_after=form) for form in FORMS)
    np.testing.assert_array_equal(after["y"], before["y"])
    np.testing.assert_array_equal(after["dx"], before["dx"])


@pytest.mark.parametrize("form", FORMS)
def test_chunks_are_the_whole(form: bool) -> None:
    assert_chunks_are_the_whole("gru", reset_after=form)


def test_integers_are_one_hot_vectors(backend_and_form: tuple[str, bool]) -> None:
    assert_one_hot_is_vectors("gru", backend_and_form[0], reset_after=backend_and_form[1])


def test_none_is_zeros(backend_and_form: tuple[str, bool]) -> None:
    assert_none_is_zeros("gru", backend_and_form[0], reset_after=backend_and_form[1])


def test_inputs_are_left_alone(backend_and_form: tuple[str, bool]) -> None:
    assert_inputs_are_left_alone("gru", backend_and_form[0], reset_after=backend_and_form[1])


@pytest.mark.parametrize("form", FORMS)
def test_empty_is_no_step(form: bool) -> None:
    assert_empty_is_no_step("gru", reset_after=form)


@pytest.mark.parametrize("form", FORMS)
def test_a_step_gives_its_gates(form: bool) -> None:
    case = make("gru", 1, 2, 3, 4)
    (h0,) = case.state
    (h,), r, z, n, m = gru.step(case.x[0], (h0,), case.weights, form)
    np.testing.assert_array_equal(h, (1 - z) * n + z * h0)
    np.testing.assert_array_equal(h, gru.forward(case.x, (h0,), case.weights, form)[0][0])
    if form:
        np.testing.assert_allclose(m, h0 @ case.weights.Wh[8:].T + case.weights.bh[8:], rtol=1e-14)
    else:
        np.testing.assert_array_equal(m, r * h0)


def test_an_update_gate_that_is_open_carries_the_state(backend: str) -> None:
    """z = 1: h stays, and its gradient stays, to the bit."""
    case = make("gru", 5, 2, 3, 4)
    bias = np.repeat([0.0, 1000.0, 0.0], 4)
    y, _, tape = kernels.forward("gru", case.x, case.state, case.weights._replace(bx=bias), backend=backend)
    np.testing.assert_array_equal(y, np.broadcast_to(case.state[0], y.shape))
    np.testing.assert_array_equal(kernels.backward(tape, None, case.dstate).dstate[0], case.dstate[0])


def test_bad_input_is_refused_in_one_line(backend: str) -> None:
    x, (h0,), weights, _, _ = make("gru", 5, 2, 3, 4)
    for arguments, message in [
        ((x, (h0[:, :3],), weights), "h0 has shape (2, 3); expected (B, H) = (2, 4)"),
        ((x, (h0, h0), weights), "state has 2 parts; expected (h0,)"),
        (
            (x, None, weights._replace(Wx=np.zeros((16, 3)))),
            "Wx has shape (16, 3); expected (G*H, I) = (12, 3)",
        ),
        ((x, None, weights._replace(bh=np.zeros(4))), "bh has shape (4,); expected (G*H,) = (12,)"),
        ((np.full((5, 2), 7), None, weights), "x has values from 7 to 7; expected 0 to I - 1 = 2"),
    ]:
        with pytest.raises(UsageError) as error:
            kernels.forward("gru", *arguments, backend=backend)
        assert str(error.value) == message
