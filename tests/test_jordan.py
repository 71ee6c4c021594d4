"""Jordan network: its definition, teacher forcing, autograd as a witness. Gradients: test_options.py."""

import math
from typing import Any

import numpy as np
import pytest

from agreement import (
    TORCH_TOLERANCE,
    assert_chunks_are_the_whole,
    assert_close,
    assert_empty_is_no_step,
    assert_inputs_are_left_alone,
    assert_none_is_zeros,
    assert_one_hot_is_vectors,
)
from backtime import UsageError, kernels
from backtime.reference import jordan
from backtime.reference.activations import ACTIVATIONS
from backtime.reference.weights import Array
from cases import OPTION_CASES, SHAPES, P, dot, make, train_step
from numeric import check_gradients

PLAIN = {
    "tanh": math.tanh,
    "relu": lambda z: max(z, 0.0),
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "identity": lambda z: z,
}


@pytest.mark.parametrize("f", ACTIVATIONS)
@pytest.mark.parametrize("g", ACTIVATIONS)
def test_forward_is_its_definition(f: str, g: str) -> None:
    """One unit of one sequence after the other, in plain numbers."""
    T, B, I, H = 3, 2, 4, 5
    case = make("jordan", T, B, I, H)
    w = case.weights
    y, (last,), _ = kernels.forward("jordan", case.x, case.state, w, activation=f, output_activation=g)
    for b in range(B):
        out = list(case.state[0][b])
        for t in range(T):
            z = [dot(w.Wx[k], case.x[t, b]) + w.bx[k] + dot(w.Wh[k], out) + w.bh[k] for k in range(H)]
            h = [PLAIN[f](zk) for zk in z]
            out = [PLAIN[g](dot(w.Wy[k], h) + w.by[k]) for k in range(P)]
            np.testing.assert_allclose(y[t, b], out, rtol=1e-13, atol=1e-13)
        np.testing.assert_array_equal(last[b], y[-1, b])


@pytest.mark.parametrize("shape", SHAPES)
def test_autograd_bears_witness(shape: tuple[int, ...]) -> None:
    """torch.nn has no Jordan network: its equations here, its derivative by autograd."""
    torch = pytest.importorskip("torch")
    case = make("jordan", *shape)
    names = ("Wx", "Wh", "bx", "bh", "Wy", "by")
    x, y0, *weights = (torch.tensor(a, requires_grad=True) for a in (case.x, *case.state, *case.weights[:6]))
    Wx, Wh, bx, bh, Wy, by = weights
    y, ys = y0, []
    for t in range(len(x)):
        y = torch.tanh(torch.relu(x[t] @ Wx.T + bx + y @ Wh.T + bh) @ Wy.T + by)
        ys.append(y)
    whole = torch.stack(ys)
    ((whole * torch.tensor(case.dy)).sum() + (y * torch.tensor(case.dstate[0])).sum()).backward()
    expected = {f"d{n}": w.grad.numpy() for n, w in zip(names, weights, strict=True)}
    expected |= {
        "y": whole.detach().numpy(),
        "yT": y.detach().numpy(),
        "dx": x.grad.numpy(),
        "dy0": y0.grad.numpy(),
    }
    found = train_step("jordan", case, activation="relu", output_activation="tanh")
    assert_close(found, expected, TORCH_TOLERANCE)


def build(name: str, *sizes: int, **more: Any) -> tuple[Any, dict[str, Any]]:
    """A case of the table without resets: under teacher forcing there is nothing to cut."""
    case, options = OPTION_CASES[name].build(*sizes, **more)
    return case, {key: value for key, value in options.items() if key != "reset"}


CASES = [name for name in OPTION_CASES if name.startswith("jordan")]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("one_hot", [False, True])
def test_forced_with_its_own_outputs_is_forward(name: str, one_hot: bool) -> None:
    """Outputs in place of targets; and its gradient is that of one step at a time, nothing handed on."""
    case, options = build(name, 5, 3, 4, 6, one_hot=one_hot)
    y, _, _ = jordan.forward(case.x, case.state, case.weights, **options)
    before = np.concatenate([case.state[0][None], y[:-1]])
    all_at_once, saved = jordan.forced(case.x, before, case.weights, **options)
    np.testing.assert_allclose(all_at_once, y, rtol=0, atol=1e-13)
    dx, dbefore, dweights = jordan.forced_backward(saved, case.dy)
    total: Any = None
    for t in range(5):
        step = case._replace(
            x=case.x[t : t + 1], state=(before[t],), dy=case.dy[t : t + 1], dstate=(np.zeros((3, P)),)
        )
        alone = train_step("jordan", step, **options)
        np.testing.assert_allclose(dbefore[t], alone["dy0"], rtol=0, atol=1e-13)
        if dx is not None:
            np.testing.assert_allclose(dx[t], alone["dx"][0], rtol=0, atol=1e-13)
        total = {n: v + (total[n] if total else 0) for n, v in alone.items() if n[1:] in dweights._fields}
    found = {f"d{n}": v for n, v in dweights._asdict().items() if v is not None}
    assert_close(found, total, 1e-13)


@pytest.mark.parametrize("name", CASES)
def test_gradient_of_forced_is_the_numeric_one(name: str) -> None:
    case, options = build(name, 3, 2, 2, 3)
    given = {n: w for n, w in case.weights._asdict().items() if w is not None}

    def run(values: dict[str, Array]) -> Any:
        weights = case.weights._replace(**{n: values[n] for n in given})
        return jordan.forced(values["x"], values["before"], weights, **options)

    def backward(dy: Array, **values: Array) -> dict[str, Array]:
        dx, dbefore, dweights = jordan.forced_backward(run(values)[1], dy)
        found = {n: w for n, w in dweights._asdict().items() if w is not None}
        return {**found, "x": dx, "before": dbefore}

    before = np.random.default_rng(0).standard_normal((3, 2, P))
    check_gradients(lambda **v: (run(v)[0],), backward, {"x": case.x, "before": before, **given})


def test_forced_without_dy_hands_nothing_back() -> None:
    case = make("jordan", 3, 2, 4, 5)
    _, saved = jordan.forced(case.x, case.dy, case.weights)
    dx, dbefore, dweights = jordan.forced_backward(saved, None)
    assert not any(a.any() for a in (dx, dbefore, *dweights[:6]))


def test_bad_targets_are_refused_in_one_line() -> None:
    case = make("jordan", 3, 2, 4, 5)
    for targets, message in [
        (np.zeros((3, 2, 5)), r"targets_before has shape \(3, 2, 5\); expected \(T, B, P\) = \(3, 2, 3\)"),
        (np.zeros((3, 2, 3), "f"), "targets_before is float32; expected float64 as the weights are"),
        ([0.0], "targets_before is a list; expected a NumPy array"),
    ]:
        with pytest.raises(UsageError, match=rf"^{message}$"):
            jordan.forced(case.x, targets, case.weights)


def test_bad_input_is_refused_in_one_line() -> None:
    case = make("jordan", 5, 2, 3, 4)
    (y0,), weights = case.state, case.weights
    for arguments, message in [
        ((case.x, (y0[:, :2],), weights), "y0 has shape (2, 2); expected (B, P) = (2, 3)"),
        ((case.x, (y0, y0), weights), "state has 2 parts; expected (y0,)"),
        (
            (case.x, None, weights._replace(Wh=np.zeros((4, 4)))),
            "Wy has shape (3, 4); expected (P, H) = (4, 4)",
        ),
    ]:
        with pytest.raises(UsageError) as error:
            kernels.forward("jordan", *arguments)
        assert str(error.value) == message


def test_chunks_are_the_whole() -> None:
    assert_chunks_are_the_whole("jordan")


def test_integers_are_one_hot_vectors() -> None:
    assert_one_hot_is_vectors("jordan", "reference")


def test_none_is_zeros() -> None:
    assert_none_is_zeros("jordan", "reference")


def test_inputs_are_left_alone() -> None:
    assert_inputs_are_left_alone("jordan", "reference")


def test_empty_is_no_step() -> None:
    assert_empty_is_no_step("jordan")
