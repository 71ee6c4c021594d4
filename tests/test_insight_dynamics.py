"""One-step Jacobians, Lyapunov exponents, fixed points: against autograd, known spectra, closed forms."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import backtime.nn
from backtime import UsageError
from backtime.insight import fixed_points
from backtime.insight.dynamics.exponents import dimension, lyapunov
from backtime.insight.dynamics.jacobians import jacobians, singular_values
from backtime.insight.layers.levels import Level, run_level
from backtime.nn.backends import equations
from backtime.nn.backends.composed import _input_product
from backtime.nn.types import Call, Weights

F64 = torch.float64


def level(cell: str, options: dict[str, Any] | None = None, T: int = 6, B: int = 2, H: int = 4) -> Level:
    generator = torch.Generator().manual_seed(1)
    G = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    weights = Weights(*(torch.randn(s, generator=generator, dtype=F64) for s in [(G * H, 3), (G * H, H)]))
    x = torch.randn(T, B, 3, generator=generator, dtype=F64)
    return run_level("", Call(cell, options or {}), weights, {}, x, ())


@pytest.mark.parametrize(
    ("cell", "options"),
    [("rnn", {}), ("rnn", {"activation": "relu"}), ("gru", {}), ("gru", {"reset_after": False}), ("lstm", {}),
     ("lstm", {"coupled": True}), ("rnn", {"keep_h": 0.3})],
)  # fmt: skip
def test_jacobians_are_autograds(cell: str, options: dict[str, Any]) -> None:
    own = level(cell, options)
    for s, found in enumerate(jacobians(own)):
        for b in range(2):

            def step(state: torch.Tensor, s: int = s, b: int = b) -> torch.Tensor:
                parts = tuple(state[None].split(4, -1))
                zx = _input_product(own.x[s, b : b + 1], own.weights)
                return torch.cat(equations.STEPS[cell](zx, parts, own.weights, options)[0], -1)[0]

            start = torch.cat([part[s, b] for part in own.before])
            right = torch.autograd.functional.jacobian(step, start)
            torch.testing.assert_close(found[b], right, rtol=1e-12, atol=1e-14)


def test_singular_values_of_an_orthogonal_rnn_are_one() -> None:
    Q = torch.linalg.qr(torch.randn(5, 5, dtype=F64)).Q
    weights = Weights(torch.zeros(5, 1, dtype=F64), Q)
    own = run_level(
        "", Call("rnn", {"activation": "identity"}), weights, {}, torch.zeros(8, 1, 1, dtype=F64), ()
    )
    torch.testing.assert_close(singular_values(own), torch.ones(8, 5, dtype=F64))


def henon(steps: int) -> Iterator[torch.Tensor]:
    x, y = 0.1, 0.1
    for _ in range(steps):
        yield torch.tensor([[[-2.8 * x, 1.0], [0.3, 0.0]]], dtype=F64)
        x, y = 1 - 1.4 * x * x + y, 0.3 * x


def test_lyapunov_of_the_henon_map() -> None:
    """lambda_1 = 0.4192 (Sprott 2003, table A.1); the sum is log 0.3 at every step, exactly."""
    found = lyapunov(henon(60_000), skip=100)[0]
    assert abs(found.sum().item() - math.log(0.3)) < 1e-9
    assert abs(found[0].item() - 0.4192) < 0.004  # 60,000 steps: the mean of a chaotic orbit, +- 0.002
    assert abs(dimension(found) - 1.258) < 0.005


def test_lyapunov_of_a_linear_rnn_is_the_log_of_its_eigenvalues() -> None:
    basis = torch.randn(4, 4, dtype=F64, generator=torch.Generator().manual_seed(2))
    values = torch.tensor([1.5, 0.9, 0.4, 0.05], dtype=F64)
    Wh = basis @ torch.diag(values) @ torch.linalg.inv(basis)
    weights = Weights(torch.zeros(4, 1, dtype=F64), Wh)
    own = run_level(
        "", Call("rnn", {"activation": "identity"}), weights, {}, torch.zeros(400, 1, 1, dtype=F64), ()
    )
    found = lyapunov(jacobians(own), skip=100)[0]  # the frame turns at the rate of the eigenvalues' ratios
    torch.testing.assert_close(found, values.log(), rtol=1e-6, atol=1e-6)
    some = lyapunov(jacobians(own), count=2, skip=100)[0]
    torch.testing.assert_close(some, values.log()[:2], rtol=1e-6, atol=1e-6)


def test_a_dead_direction_has_minus_infinity() -> None:
    found = lyapunov([torch.diag(torch.tensor([2.0, 0.0], dtype=F64))[None]] * 5, skip=1)
    assert found[0, 0].item() == pytest.approx(math.log(2)) and found[0, 1] == -math.inf
    with pytest.raises(UsageError, match="expected at least one"):
        lyapunov([], skip=0)


def test_fixed_points_of_one_unit_are_those_of_tanh() -> None:
    """h = tanh(w h): 0, and for w > 1 the two others, where the slope is w (1 - h^2)."""
    layer = backtime.nn.RNN(1, 1, bias=False, dtype=F64)
    with torch.no_grad():
        layer.weight_hh_l0.fill_(1.5)
    found = fixed_points(layer)
    h = 0.858559
    assert sorted(round(point.state[0], 5) for point in found) == [-round(h, 5), 0.0, round(h, 5)]
    for point in found:
        assert point.radius == pytest.approx(1.5 * (1 - point.state[0] ** 2), rel=1e-6)
        assert point.stable == (abs(point.state[0]) > 0.5) == point.returns


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_fixed_points_stay_and_eigenvalues_tell_what_running_shows(cell: str) -> None:
    torch.manual_seed(4)
    layer = getattr(torch.nn, cell)(2, 3, dtype=F64)
    with torch.no_grad():
        layer.weight_hh_l0.mul_(6)
    found = fixed_points(layer, torch.tensor([0.3, -0.2], dtype=F64))
    assert found
    x = torch.tensor([0.3, -0.2], dtype=F64).expand(50, 1, 2)
    for point in found:
        assert point.stable == point.returns
        if point.stable:  # run by torch itself, it stays
            parts = [
                p.reshape(1, 1, 3) for p in np.split(torch.from_numpy(point.state), len(point.state) // 3)
            ]
            last = layer(x, tuple(parts) if cell == "LSTM" else parts[0])[1]
            h = last[0] if cell == "LSTM" else last
            torch.testing.assert_close(h, parts[0], rtol=0, atol=1e-8)


def test_fixed_points_of_what_is_no_small_cell_are_refused() -> None:
    with pytest.raises(UsageError, match="expected an RNN, GRU or LSTM of one layer"):
        fixed_points(torch.nn.Linear(2, 2))
    with pytest.raises(UsageError, match="a state of 400 numbers"):
        fixed_points(torch.nn.LSTM(1, 200))
    with pytest.raises(UsageError, match=r"x has shape \(2,\)"):
        fixed_points(torch.nn.GRU(1, 2), torch.zeros(2))
