"""Weights from and to other frameworks' layouts: their definitions, ONNX Runtime, torch.nn as witnesses."""

import itertools
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

from backtime import UsageError, kernels
from backtime.interchange import keras, onnx, onnx_run, torch_names
from backtime.reference.activations import sigmoid
from backtime.reference.weights import Array, Weights
from cases import make

T, B, I, H = 5, 3, 4, 6
CELLS = ["rnn", "gru", "lstm"]


def same(found: Weights, expected: Weights) -> bool:
    return all(
        (a is None and b is None) or np.array_equal(a, b) for a, b in zip(found, expected, strict=True)
    )


# torch.nn


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_torch_computes_the_same_with_weights_that_went_there(cell: str, reverse: bool) -> None:
    torch = pytest.importorskip("torch")
    case = make(cell, T, B, I, H)
    other = make(cell, T, B, I, H, seed=1)
    layer = getattr(torch.nn, cell.upper())(I, H, bidirectional=True, dtype=torch.float64)
    arrays = torch_names.to_torch(case.weights, 0, reverse) | torch_names.to_torch(
        other.weights, 0, not reverse
    )
    layer.load_state_dict({name: torch.from_numpy(a) for name, a in arrays.items()})
    y = layer(torch.from_numpy(case.x))[0].detach().numpy()
    found = kernels.forward(cell, case.x, None, case.weights, reverse=reverse)[0]
    np.testing.assert_allclose(y[..., H:] if reverse else y[..., :H], found, rtol=0, atol=1e-13)
    assert same(torch_names.from_torch(layer.state_dict(), 0, reverse), case.weights)


def test_torch_projection_and_prefix() -> None:
    weights = make("lstm", T, B, I, H).weights._replace(Wh=np.ones((4 * H, 2)), Wy=np.ones((2, H)))
    arrays = torch_names.to_torch(weights, 1, prefix="encoder.")
    assert "encoder.weight_hr_l1" in arrays
    assert same(torch_names.from_torch(arrays, 1, prefix="encoder."), weights)
    del arrays["encoder.bias_ih_l1"], arrays["encoder.bias_hh_l1"]
    assert not torch_names.from_torch(arrays, 1, prefix="encoder.").bh.any()


# Keras: written here from its documentation, one row and one gate at a time.


def keras_config(cell: str, **settings: Any) -> dict[str, Any]:
    """What ``get_config()`` of a layer of Keras holds, of what matters here."""
    usual = {"units": H, "activation": "tanh", "use_bias": True, "go_backwards": False}
    if cell != "rnn":
        usual["recurrent_activation"] = "sigmoid"
    return usual | settings


def keras_step(cell: str, arrays: list[Array], x: Array, h: Array, c: Array, reset_after: bool) -> Any:
    W, U = arrays[:2]
    n = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    zero = np.zeros(n * H)
    b = arrays[2] if len(arrays) == 3 else (np.stack([zero, zero]) if cell == "gru" and reset_after else zero)
    if cell == "rnn":
        return np.tanh(x @ W + b + h @ U), c
    if cell == "lstm":
        i, f, g, o = np.split(x @ W + h @ U + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    bi, br = b if reset_after else (b, zero)
    xz, xr, xh = np.split(x @ W + bi, 3)
    if reset_after:
        hz, hr, hh = np.split(h @ U + br, 3)
        candidate = np.tanh(xh + sigmoid(xr + hr) * hh)
    else:
        hz, hr = np.split(h @ U[:, : 2 * H], 2)
        candidate = np.tanh(xh + (sigmoid(xr + hr) * h) @ U[:, 2 * H :])
    z = sigmoid(xz + hz)
    return z * h + (1 - z) * candidate, c


@pytest.mark.parametrize(
    ("cell", "reset_after"), [("rnn", True), ("lstm", True), ("gru", True), ("gru", False)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_keras_weights_compute_what_keras_computes(cell: str, reset_after: bool, bias: bool) -> None:
    rng = np.random.default_rng(1)
    n = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    width = (2, n * H) if cell == "gru" and reset_after else (n * H,)
    arrays = [rng.standard_normal((I, n * H)), rng.standard_normal((H, n * H)), rng.standard_normal(width)]
    arrays = arrays if bias else arrays[:2]
    config = keras_config(cell, reset_after=reset_after)
    weights = keras.from_keras(cell, arrays, config=config)
    options = keras.options(cell, config)
    assert options == ({"reset_after": reset_after} if cell == "gru" else {})
    x, h, c = rng.standard_normal((T, 1, I)), np.zeros(H), np.zeros(H)
    y, _, _ = kernels.forward(cell, x, None, weights, **options)
    for t in range(T):
        h, c = keras_step(cell, arrays, x[t, 0], h, c, reset_after)
        np.testing.assert_allclose(y[t, 0], h, rtol=0, atol=1e-13)
    for found, expected in zip(keras.to_keras(cell, weights, reset_after), arrays, strict=False):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_without_a_configuration_it_is_said_what_was_assumed(cell: str) -> None:
    n = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    arrays = [np.zeros((I, n * H)), np.zeros((H, n * H))]
    with pytest.warns(keras.AssumedWarning, match="assumed activation='tanh'") as said:
        keras.from_keras(cell, arrays)
    assert len(said) == 1 and said[0].filename == __file__
    assert ("recurrent_activation='sigmoid'" in str(said[0].message)) == (cell != "rnn")
    assert ("reset_after=True" in str(said[0].message)) == (cell == "gru")


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "linear", None, "tanh"])
def test_keras_configuration_gives_the_activation(activation: str | None) -> None:
    own = keras.options("rnn", keras_config("rnn", activation=activation))
    assert own.get("activation", "tanh") == {None: "identity", "linear": "identity"}.get(
        activation, activation
    )


def test_keras_configuration_of_a_layer_that_goes_backwards() -> None:
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal((I, 4 * H)), rng.standard_normal((H, 4 * H))]
    config = keras_config("lstm", go_backwards=True)
    weights = keras.from_keras("lstm", arrays, config=config)
    x = rng.standard_normal((T, 1, I))
    y, _, _ = kernels.forward("lstm", x, None, weights, **keras.options("lstm", config))
    h, c = np.zeros(H), np.zeros(H)
    for t in reversed(range(T)):
        h, c = keras_step("lstm", arrays, x[t, 0], h, c, True)
        np.testing.assert_allclose(y[t, 0], h, rtol=0, atol=1e-13)


# ONNX


@cache
def node_tests() -> dict[str, Any]:
    """The ONNX package's own test vectors of the recurrent nodes."""
    pytest.importorskip("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    return {case.name: case for case in cases if case.model.graph.node[0].op_type in onnx.CELLS}


def attributes_of(node: Any) -> dict[str, Any]:
    from onnx.helper import get_attribute_value

    return {a.name: get_attribute_value(a) for a in node.attribute}


def answer(operator: str, named: dict[str, Array], attributes: dict[str, Any]) -> dict[str, Array]:
    node = onnx.from_onnx(operator, named["W"], named["R"], named.get("B"), named.get("P"), attributes)
    rest = {name: named[name] for name in ("sequence_lens", "initial_h", "initial_c") if name in named}
    return dict(zip(("Y", "Y_h", "Y_c"), onnx_run.run(node, named["X"], **rest), strict=False))


@pytest.mark.slow
def test_the_vectors_of_the_onnx_package() -> None:
    operators = set()
    for name, case in node_tests().items():
        node = case.model.graph.node[0]
        operators.add(node.op_type)
        given = dict(zip([i for i in node.input if i], case.data_sets[0][0], strict=True))
        found = answer(node.op_type, given, attributes_of(node))
        wanted = [o for o in node.output if o]
        for output, expected in zip(wanted, case.data_sets[0][1], strict=True):
            np.testing.assert_allclose(
                found[output], expected, rtol=1e-5, atol=1e-6, err_msg=f"{name} {output}"
            )
    assert operators == {"RNN", "GRU", "LSTM"} and len(node_tests()) >= 15


def random_node(
    operator: str, direction: str, layout: int, **attributes: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng(2)
    D, G = 2 if direction == "bidirectional" else 1, {"RNN": 1, "GRU": 3, "LSTM": 4}[operator]

    def draw(*shape: int) -> Array:
        return (0.5 * rng.standard_normal(shape)).astype(np.float32)

    named: dict[str, Any] = {
        "X": draw(T, B, I),
        "W": draw(D, G * H, I),
        "R": draw(D, G * H, H),
        "B": draw(D, 2 * G * H),
    }
    named |= {"sequence_lens": np.array([2, 5, 3], np.int32), "initial_h": draw(D, B, H)}
    if operator == "LSTM":
        named |= {"initial_c": draw(D, B, H), "P": draw(D, 3 * H)}
    if layout:
        named |= {n: named[n].swapaxes(0, 1) for n in ("X", "initial_h", "initial_c") if n in named}
    return named, {"direction": direction, "hidden_size": H, "layout": layout, **attributes}


def runtime(operator: str, named: dict[str, Array], attributes: dict[str, Any]) -> dict[str, Array]:
    """ONNX Runtime's answer."""
    ort, helper = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx.helper")
    from onnx import TensorProto

    order = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"][
        : 8 if operator == "LSTM" else 6
    ]
    outputs = ["Y", "Y_h", "Y_c"][: 3 if operator == "LSTM" else 2]
    kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int32): TensorProto.INT32}
    graph = helper.make_graph(
        [helper.make_node(operator, [n if n in named else "" for n in order], outputs, **attributes)],
        "one",
        [helper.make_tensor_value_info(n, kinds[a.dtype], a.shape) for n, a in named.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(None, named), strict=True))


FORMS = [
    ("RNN", {}), ("RNN", {"activations": ["Relu"]}), ("GRU", {"linear_before_reset": 0}),
    ("GRU", {"linear_before_reset": 1}), ("LSTM", {}), ("LSTM", {"input_forget": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "attributes"), FORMS)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_onnx_runtime_computes_the_same(operator: str, attributes: dict[str, Any], direction: str) -> None:
    if direction == "bidirectional" and "activations" in attributes:
        attributes = {"activations": ["Relu", "Tanh"]}
    named, own = random_node(operator, direction, 0, **attributes)
    expected, found = runtime(operator, named, own), answer(operator, named, own)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=2e-6, err_msg=name)
    batch_first, _ = random_node(operator, direction, 1, **attributes)  # the runtime has no layout 1
    turned = answer(operator, batch_first, {**own, "layout": 1})
    np.testing.assert_array_equal(turned["Y"].transpose(1, 2, 0, 3), found["Y"])
    np.testing.assert_array_equal(turned["Y_h"].swapaxes(0, 1), found["Y_h"])


@pytest.mark.parametrize(("operator", "attributes"), FORMS)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_onnx_there_and_back(operator: str, attributes: dict[str, Any], direction: str) -> None:
    named, own = random_node(operator, direction, 0, **attributes)
    if direction == "bidirectional" and "activations" in attributes:
        own["activations"] = ["Relu", "Tanh"]
    node = onnx.from_onnx(operator, named["W"], named["R"], named["B"], named.get("P"), own)
    again, arrays, written = onnx.to_onnx(node.cell, node.directions)
    assert again == operator and written["direction"] == direction and written["hidden_size"] == H
    for name, value in arrays.items():
        np.testing.assert_array_equal(value, named[name])
    once_more = onnx.from_onnx(operator, **arrays, attributes=written)
    assert [d.options for d in once_more.directions] == [d.options for d in node.directions]


def test_a_wrong_order_of_gates_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(onnx.ONNX, "lstm", "ifgo")
    with pytest.raises(AssertionError):
        test_onnx_runtime_computes_the_same("LSTM", {}, "forward")


def refused() -> dict[str, Any]:
    W, R = np.zeros((1, 4 * H, I), np.float32), np.zeros((1, 4 * H, H), np.float32)
    weights = make("lstm", T, B, I, H).weights
    direction = onnx.Direction(weights, {}, False)
    return {
        "operator is 'Conv'; expected one of RNN, GRU, LSTM": lambda: onnx.from_onnx("Conv", W, R),
        "attribute clip is 3.0": lambda: onnx.from_onnx("LSTM", W, R, attributes={"clip": 3.0}),
        "attribute colour is not known": lambda: onnx.from_onnx("LSTM", W, R, attributes={"colour": 1}),
        "direction is 'up'": lambda: onnx.from_onnx("LSTM", W, R, attributes={"direction": "up"}),
        "W has 1 directions; expected 2": lambda: onnx.from_onnx(
            "LSTM", W, R, attributes={"direction": b"bidirectional"}
        ),
        r"activations is \['tanh', 'tanh', 'tanh'\]": lambda: onnx.from_onnx(
            "LSTM", W, R, attributes={"activations": ["Tanh"] * 3}
        ),
        "cell is 'jordan'": lambda: onnx.to_onnx("jordan", [direction]),
        "weights have Wy; ONNX": lambda: onnx.to_onnx(
            "lstm", [direction._replace(weights=weights._replace(Wy=np.zeros((2, H))))]
        ),
        "activation is 'identity'": lambda: onnx.to_onnx(
            "rnn", [onnx.Direction(make("rnn", T, B, I, H).weights, {"activation": "identity"}, False)]
        ),
        "options of the two directions differ": lambda: onnx.to_onnx(
            "lstm", [direction, onnx.Direction(weights, {"coupled": True}, True)]
        ),
        "arrays has 1 parts": lambda: keras.from_keras("lstm", [W[0]]),
        r"bias has shape \(18,\); expected \(2, 18\)": lambda: keras.from_keras(
            "gru", [np.zeros((I, 3 * H)), np.zeros((H, 3 * H)), np.zeros(3 * H)]
        ),
        "recurrent_activation is 'hard_sigmoid' in config; expected 'sigmoid'": lambda: keras.from_keras(
            "lstm", [W[0].T, R[0].T], config=keras_config("lstm", recurrent_activation="hard_sigmoid")
        ),
        "activation is 'relu' in config; expected 'tanh'": lambda: keras.options(
            "gru", keras_config("gru", activation="relu")
        ),
        "activation is 'swish' in config; expected one of tanh": lambda: keras.options(
            "rnn", keras_config("rnn", activation={"class_name": "function", "config": "swish"})
        ),
        "reset_after is True, but False in config": lambda: keras.from_keras(
            "gru", [W[0].T, R[0].T], True, keras_config("gru", reset_after=False)
        ),
        "config is that of a layer around others": lambda: keras.options("lstm", {"layer": {}}),
        "cell is 'tree'": lambda: keras.from_keras("tree", []),
        "weights have p; Keras": lambda: keras.to_keras("lstm", weights._replace(p=np.zeros((3, H)))),
        "state has no weight_ih_l2": lambda: torch_names.from_torch({}, 2),
        "weights have p; torch.nn": lambda: torch_names.to_torch(weights._replace(p=np.zeros((3, H)))),
    }


@pytest.mark.parametrize("message", refused())
def test_what_has_no_counterpart_is_refused(message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        refused()[message]()
    assert "\n" not in str(caught.value)


def test_orders_are_permutations() -> None:
    from backtime.interchange import gates

    for table, cell in itertools.product((gates.KERAS, gates.ONNX), CELLS):
        assert sorted(table[cell]) == sorted(gates.OWN[cell])
