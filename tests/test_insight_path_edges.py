"""Paths of small, dead, tiny and overflowing networks; names of steps; bad arguments, one line each."""

from math import comb
from typing import Any

import numpy as np
import pytest

from backtime import UsageError
from backtime.insight import Network, paths
from backtime.insight.drawing.text import text_report
from backtime.insight.unfolded.network import random_network
from backtime.reference import Weights


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_one_step_one_unit(cell: str) -> None:
    found = paths(cell, "Wx", 1, layers=1, steps=1, hidden_size=1, input_size=1, output_size=1)
    assert found.count == {"rnn": 1, "gru": 3, "lstm": 4}[cell] and found.adds_up


def test_what_comes_after_the_loss_has_no_path() -> None:
    found = paths("rnn", "x_3", 2, steps=3)
    assert found.count == 0 and not found.gradient.any() and found.adds_up
    assert "No path" in text_report(found)


def test_arrays_of_any_kind() -> None:
    random = np.random.default_rng(1)
    W = random.standard_normal((4, 4)).astype(np.float32)
    W.flags.writeable = False
    weights = [Weights(W[:, ::2], W.T, W[0], W[1]), Weights(W, W[::-1], W[2], W[3])]
    network = Network("rnn", weights, W[:3], W[0, :3], random.standard_normal((2, 5)).T, np.zeros(3))
    found = paths(network, "Wh", "t")
    assert found.adds_up and found.count == comb(6, 2) and found.gradient.dtype == np.float64


def test_tiny_numbers_add_up_relative_to_themselves() -> None:
    found = paths(scaled(random_network("rnn", 3, 6), 1e-9), "Wx")
    assert 0 < abs(found.gradient).max() < 1e-15 and found.adds_up and found.allowed < 1e-25


def test_numbers_too_small_for_their_digits_add_up() -> None:
    found = paths(scaled(random_network("rnn", 2, 326, hidden_size=5), 0.15), "h0", max_paths=1000)
    assert 0 < abs(found.gradient).max() < 1e-308 and found.adds_up  # denormal: some of the digits are gone


def scaled(network: Network, factor: float) -> Network:
    layers = [Weights(*(a * factor for a in weights[:4])) for weights in network.layers]
    return Network(network.cell, layers, network.Wy, network.by, network.x, network.target)


def test_an_overflow_is_one_line() -> None:
    network = random_network("rnn", 1, 400, activation="identity")
    big = scaled(network, 1e3)
    with pytest.raises(UsageError, match="not finite"):
        paths(
            Network("rnn", big.layers, big.Wy, big.by, big.x, big.target, options={"activation": "identity"})
        )


def test_a_dead_network_has_a_gradient_of_zero() -> None:
    network = random_network("rnn", 2, 3, activation="relu")
    layers = [w._replace(bx=w.bx - 100) for w in network.layers]
    found = paths(
        Network(
            "rnn", layers, network.Wy, network.by, network.x, network.target, options={"activation": "relu"}
        )
    )
    assert not found.gradient.any() and found.adds_up and found.share(found.paths[0]) is None


def test_names_of_steps_and_quantities() -> None:
    found = paths("lstm", "b2", "t", layers=2, steps=2, names=["y=o", "b=beta", "o=q", "S", "Z"])
    assert found.first(1)[0].text == "dE_t/do_t do_t/dZ_t dZ_t/dq2_t dq2_t/dbeta"
    assert found.first(1)[0].latex.endswith(r"\frac{\partial q^{(2)}_{t}}{\partial \mathit{beta}}")
    assert paths("rnn", "h0", layers=1, steps=12, at=11).paths[0].text.endswith("dh_1/dh_0")
    assert "dh_{10}/dh_9" in paths("rnn", "h0", layers=1, steps=12, at=11).paths[0].text
    assert paths("rnn", "x_{t-1}", steps=3).graph.wrt == paths("rnn", "x_1", 3, steps=3).graph.wrt
    assert paths("rnn", "h0", steps=2).paths[0].text.endswith("dh1_t/dh1_{t-1}")
    assert (
        paths("rnn", "Wx", "k-2", steps=2, layers=1).paths[1].text.endswith("dh_{k-2}/dh_{k-3} dh_{k-3}/dWx")
    )


BAD: list[tuple[dict[str, Any], str]] = [
    ({"network": "jordan"}, "cell is 'jordan'"),
    ({"network": None}, "network is a NoneType"),
    ({"dropout": 0.5}, "dropout"),
    ({"wrt": "Wy"}, "wrt is 'Wy'"),
    ({"wrt": "Wx3"}, "layer from 1 to 2"),
    ({"wrt": "h0:0"}, "layer from 1 to 2"),
    ({"wrt": "c0"}, "no cell state"),
    ({"wrt": "x_9"}, "a step from t to t"),
    ({"at": 3}, "at is '3'; expected a step from 1 to 2"),
    ({"at": "0"}, "at is '0'"),
    ({"at": "t+"}, "at is 't+'"),
    ({"layers": 0}, "layers is 0"),
    ({"steps": 1.5}, "steps is 1.5"),
    ({"hidden_size": True}, "hidden_size is True"),
    ({"input_size": 10**9}, "input_size is 1000000000"),
    ({"seed": -1}, "seed is -1"),
    ({"loss": "hinge"}, "loss is 'hinge'"),
    ({"activation": "gelu"}, "activation is 'gelu'"),
    ({"network": "gru", "activation": "tanh"}, "activation"),
    ({"max_paths": -1}, "max_paths is -1"),
    ({"names": "S"}, "names has 1 names of states; expected 2"),
    ({"names": "S,2"}, "names has '2'"),
    ({"names": "S,Z,k=o"}, "names has 'k=o'"),
    ({"names": "S,Z,y="}, "names has 'y='"),
]


@pytest.mark.parametrize(("arguments", "reason"), BAD, ids=lambda value: str(value))
def test_bad_arguments(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError) as error:
        paths(**arguments)
    assert reason in str(error.value) and "\n" not in str(error.value)


def test_bad_networks() -> None:
    good = random_network()
    W = good.layers[0]
    one: dict[str, Any] = {
        "cell": "rnn",
        "layers": [W],
        "Wy": good.Wy,
        "by": good.by,
        "x": good.x,
        "target": good.target,
    }
    for change, reason in (
        ({"layers": []}, "layers is empty"),
        ({"layers": [W.Wx]}, "layers holds a ndarray"),
        ({"layers": [W._replace(gx=np.ones(2), gh=np.ones(2))]}, "gx is given"),
        ({"layers": [W._replace(Wh=np.ones((3, 2)))]}, "Wh has shape"),
        ({"layers": [W._replace(bx=None)]}, "bx"),
        ({"x": good.x[0]}, "x has shape (2,)"),
        ({"x": good.x[:0]}, "x has shape (0, 2)"),
        ({"x": good.x[:, :1]}, "x has shape (2, 1); expected (T, I) = (2, 2)"),
        ({"x": good.x * np.nan}, "x has values that are not finite"),
        ({"by": good.by[:1]}, "by has shape"),
        ({"Wy": "three"}, "Wy is not an array"),
        ({"target": 1.0}, "target"),
        ({"target": 1.5, "loss": "cross-entropy"}, "target is 1.5"),
        ({"target": 2, "loss": "cross-entropy"}, "2"),
        ({"state": []}, "state does not fit"),
        ({"state": [(np.zeros(3),)]}, "layer 1: h0 has shape"),
    ):
        with pytest.raises(UsageError) as error:
            Network(**(one | change))
        assert reason in str(error.value) and "\n" not in str(error.value), (change, error.value)
    with pytest.raises(UsageError, match="layers is given"):
        paths(good, layers=3)
