"""A stack steps through what its layers are at once, with options and without; what it refuses."""

from typing import Any

import numpy as np
import pytest

from backtime import UsageError, kernels
from backtime.reference.weights import Weights
from cases import make

NETWORKS: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    ("rnn", (), {"activation": "relu", "keep_h": 0.3}),
    ("rnn", ("norm",), {}),
    ("gru", (), {"reset_after": False}),
    ("gru", ("norm",), {"keep_h": 0.1}),
    ("lstm", ("Wy", "p", "norm"), {"keep_h": 0.1, "keep_c": 0.2}),
    ("lstm", ("p",), {"coupled": True}),
    ("jordan", (), {"output_activation": "tanh"}),
]


def layers_of(cell: str, extras: tuple[str, ...]) -> list[Weights]:
    """Two layers, the second on top of the first."""
    below = make(cell, 1, 1, 5, 6, extras=extras)
    width = below.state[0].shape[1]
    return [below.weights, make(cell, 1, 1, width, 4, extras=extras, seed=1).weights]


@pytest.mark.parametrize(("cell", "extras", "options"), NETWORKS)
@pytest.mark.parametrize("tokens", [False, True])
def test_steps_are_the_sequence(
    cell: str, extras: tuple[str, ...], options: dict[str, Any], tokens: bool
) -> None:
    layers, rng = layers_of(cell, extras), np.random.default_rng(2)
    width = layers[1].Wh.shape[1]
    Wy, by = rng.standard_normal((7, width)), rng.standard_normal(7)
    x = rng.integers(0, 5, (6, 3)) if tokens else rng.standard_normal((6, 3, 5))
    y: Any = x
    for weights in layers:
        y, last, _ = kernels.forward(cell, y, None, weights, backend="reference", **options)
    stack = kernels.Stack(layers, cell, Wy, by, backend="reference", **options)
    state = stack.zero_state(3)
    for t in range(6):
        np.testing.assert_allclose(stack.step(x[t], state), y[t] @ Wy.T + by, rtol=0, atol=1e-13)
    for found, expected in zip(state[len(state) // 2 :], last, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("cell", "extras", "options"), NETWORKS)
def test_auto_answers(cell: str, extras: tuple[str, ...], options: dict[str, Any]) -> None:
    layers = layers_of(cell, extras)
    Wy, by = np.eye(layers[1].Wh.shape[1]), np.zeros(layers[1].Wh.shape[1])
    x, found = np.random.default_rng(3).standard_normal((2, 5)), []
    for backend in ("auto", "reference"):
        stack = kernels.Stack(layers, cell, Wy, by, backend=backend, **options)
        found.append(stack.step(x, stack.zero_state(2)))
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-13)


def test_what_does_not_hold_for_every_step_is_refused() -> None:
    [weights, _] = layers_of("lstm", ())
    for cell, options, message in [
        ("lstm", {"h_mask": np.ones((1, 6))}, "h_mask is an array; expected what holds for every step"),
        ("lstm", {"keep_h": np.ones((1, 6))}, "keep_h is an array; expected what holds for every step"),
        ("lstm", {"activation": "relu"}, "option activation is not one of the lstm; expected coupled, "),
        ("lstm", {"keep_c": 2.0}, "keep_c has values from 2.0 to 2.0; expected 0 to 1"),
        ("elman", {}, "cell is 'elman'; expected one of rnn, gru, lstm, jordan"),
        ("rnn", {}, r"Wh has shape \(24, 6\); expected \(G\*H, H\) = \(6, 6\)"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=f"^{message}"):
            kernels.Stack([weights], cell, np.eye(6), np.zeros(6), **options)
