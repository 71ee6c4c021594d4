"""Every path of backpropagation: the terms against the reference, PyTorch and finite differences."""

from collections.abc import Iterator
from functools import reduce
from itertools import pairwise, product
from math import comb
from typing import Any

import numpy as np
import pytest
import torch

from backtime import UsageError
from backtime.insight import Network, paths
from backtime.insight.derivation import enumeration
from backtime.insight.derivation.counting import count_by_walking, count_to, law
from backtime.insight.drawing.text import formulas, text_report, to_json
from backtime.insight.unfolded.graph import Graph, Node, Wrt
from backtime.insight.unfolded.network import random_network
from backtime.insight.unfolded.partials import Partial, Values
from backtime.reference import Weights

CELLS: list[tuple[str, dict[str, Any]]] = [
    ("rnn", {}),
    ("rnn", {"activation": "relu"}),
    ("rnn", {"activation": "sigmoid"}),
    ("rnn", {"activation": "identity"}),
    ("gru", {}),
    ("gru", {"reset_after": False}),
    ("lstm", {}),
]
cells = pytest.mark.parametrize(("cell", "options"), CELLS, ids=lambda value: str(value))
WRT = ["Wx", "Wx2", "Wh", "Wh2", "b", "bx2", "bh", "bh2", "h0", "h0:2", "c0", "c0:2", "x_1", "x_2", "x_3"]
EXAMPLE = """\
dE_{t+1}/dy_{t+1} dy_{t+1}/dZ_{t+1} dZ_{t+1}/dS_{t+1} dS_{t+1}/dWx
dE_{t+1}/dy_{t+1} dy_{t+1}/dZ_{t+1} dZ_{t+1}/dS_{t+1} dS_{t+1}/dS_t dS_t/dWx
dE_{t+1}/dy_{t+1} dy_{t+1}/dZ_{t+1} dZ_{t+1}/dZ_t     dZ_t/dS_t     dS_t/dWx"""


def test_two_layers_and_two_steps_have_three_paths() -> None:
    found = paths("rnn", "Wx", "t+1", layers=2, steps=2, names="S,Z")
    assert found.count == 3 and "\n".join(formulas(found.paths)) == EXAMPLE
    assert EXAMPLE in text_report(found) and "The 3 paths add up to the gradient" in text_report(found)
    assert [path.lag for path in found.paths] == [0, 1, 1]
    first = r"\frac{\partial E_{t+1}}{\partial y_{t+1}} \frac{\partial y_{t+1}}{\partial Z_{t+1}}"
    assert found.paths[0].latex.startswith(first) and found.paths[0].latex.endswith(r"{\partial W_{x}}")


@cells
def test_the_terms_add_up_to_the_gradient(cell: str, options: dict[str, Any]) -> None:
    losses = ("squared-error", "cross-entropy", "binary-cross-entropy")
    for (number, wrt), at in product(enumerate(WRT), (2, 3)):
        if wrt[0] == "c" and cell != "lstm":
            continue
        found = paths(
            cell,
            wrt,
            at,
            steps=3,
            input_size=3,
            output_size=4,
            max_paths=10_000,
            loss=losses[number % 3],
            **options,
        )
        assert len(found.paths) == found.count == sum(group.count for group in found.groups)
        for parts in (found.paths, found.groups):
            total = sum((part.value for part in parts), np.zeros(found.gradient.shape))
            # to 1e-12 of the largest entry, as the issue asks; only rounding is to be seen
            scale = max([abs(part.value).max() for part in parts] + [abs(found.gradient).max()])
            assert abs(total - found.gradient).max() <= 1e-12 * scale
        assert found.adds_up and found.difference <= found.allowed
        if found.gradient.any():
            shares = [found.share(path) or 0.0 for path in found.paths]
            assert sum(shares) == pytest.approx(1, abs=1e-9)


# What each node is, from the nodes it is computed from: the equations of the cells, once more.


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def equation(network: Network, node: Node, v: dict[Node, Any], W: Weights) -> Any:
    """The value of ``node``, where ``v`` holds the values of others."""
    letter, layer, t = node
    below = v[Node("h", layer - 1, t) if layer > 1 else Node("x", 0, t)]
    before = v[Node("h", layer, t - 1)]
    H, gates = len(before), {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}[network.cell]

    def own(name: str) -> Any:
        return v[Node(name, layer, t)]

    def rows(a: Any) -> Any:
        k = gates.index(letter)
        return a[k * H : (k + 1) * H]

    if network.cell == "lstm" and letter in "hc":
        if letter == "h":
            return own("o") * np.tanh(own("c"))
        return own("f") * v[Node("c", layer, t - 1)] + own("i") * own("g")
    if network.cell == "gru" and letter == "h":
        return (1 - own("z")) * own("n") + own("z") * before
    zx = rows(W.Wx) @ below + rows(W.bx)
    if letter == "n" and network.options.get("reset_after", True):
        return np.tanh(zx + own("r") * (rows(W.Wh) @ before + rows(W.bh)))
    if letter == "n":
        return np.tanh(zx + rows(W.Wh) @ (own("r") * before) + rows(W.bh))
    z = zx + rows(W.Wh) @ before + rows(W.bh)
    if network.cell == "rnn":
        name = network.options.get("activation", "tanh")
        return {
            "tanh": np.tanh,
            "relu": lambda z: np.maximum(z, 0),
            "sigmoid": sigmoid,
            "identity": lambda z: z,
        }[name](z)
    return np.tanh(z) if letter == "g" else sigmoid(z)


def edges(graph: Graph) -> Iterator[tuple[Node, Node]]:
    for node in graph.backward_order():
        yield from ((node, source) for source in graph.sources(node))


STEP = 1e-6  # central differences: error of order STEP^2 = 1e-12 and rounding 1e-16 / STEP = 1e-10


@cells
def test_every_partial_derivative_is_the_derivative(cell: str, options: dict[str, Any]) -> None:
    for kind in ("Wx", "Wh", "bx", "bh"):
        network = random_network(cell, 2, 3, hidden_size=3, input_size=2, seed=3, **options)
        graph = Graph(cell, 2, 3, Wrt(kind, 2))
        values = Values(network, 3)
        v = dict(values._found)
        for node, source in edges(graph):
            if node.letter in "Ey":
                continue
            W = network.layers[node.layer - 1]
            if source.letter == kind:
                numeric = weight_difference(network, node, v, W, kind)
                use = values.use(node, kind)
                rows = values.rows(node)
                full = np.zeros((3, *getattr(W, kind).shape))  # d gate_k / d W
                for k in range(3):
                    full[k, rows.start + k] = use.matrix()[k]
                assert abs(full - numeric).max() < 1e-8, (node, source)
            else:
                numeric = difference(network, node, source, v, W)
                assert abs(values.partial(node, source).matrix() - numeric).max() < 1e-8, (node, source)


def difference(network: Network, node: Node, source: Node, v: dict[Node, Any], W: Weights) -> Any:
    columns = []
    for k in range(len(v[source])):
        move = STEP * np.eye(len(v[source]))[k]
        up, down = (equation(network, node, v | {source: v[source] + s * move}, W) for s in (1, -1))
        columns.append((up - down) / (2 * STEP))
    return np.stack(columns, axis=1)


def weight_difference(network: Network, node: Node, v: dict[Node, Any], W: Weights, kind: str) -> Any:
    weight = getattr(W, kind)
    found = np.zeros((3, *weight.shape))
    for place in np.ndindex(weight.shape):
        move = np.zeros_like(weight)
        move[place] = STEP
        up, down = (equation(network, node, v, W._replace(**{kind: weight + s * move})) for s in (1, -1))
        found[(slice(None), *place)] = (up - down) / (2 * STEP)
    return found


@pytest.mark.parametrize("loss", ["squared-error", "cross-entropy", "binary-cross-entropy"])
def test_loss_and_output_unit_by_finite_differences(loss: str) -> None:
    network = random_network("rnn", 1, 1, 3, output_size=4, loss=loss)
    values, h = Values(network, 1), Node("h", 1, 1)

    def output(z: Any) -> Any:
        return {"squared-error": z, "cross-entropy": np.exp(z) / np.exp(z).sum()}.get(loss, sigmoid(z))

    def error(y: Any) -> Any:
        t = network.target
        if loss == "squared-error":
            return 0.5 * ((y - t) ** 2).sum()
        return -np.log(y[t]) if loss == "cross-entropy" else -(t * np.log(y) + (1 - t) * np.log(1 - y)).sum()

    E, y = Node("E", 0, 1), Node("y", 0, 1)
    for node, source, f in (
        (y, h, lambda v: output(network.Wy @ v + network.by)),
        (E, y, lambda v: np.atleast_1d(error(v))),
    ):
        moves = STEP * np.eye(len(values[source]))
        numeric = [(f(values[source] + m) - f(values[source] - m)) / (2 * STEP) for m in moves]
        assert abs(values.partial(node, source).matrix() - np.stack(numeric, axis=1)).max() < 1e-8
        assert values[node] == pytest.approx(f(values[source]))


@cells
def test_a_value_is_the_product_of_its_factors(cell: str, options: dict[str, Any]) -> None:
    for wrt in ("Wh", "b2", "h0"):
        found = paths(cell, wrt, hidden_size=3, **options)
        for path in found.paths:
            *front, last = [factor.matrix for factor in path.factors]
            v = reduce(np.matmul, front)[0]  # (n,)
            gate, end = path.nodes[-2:]
            if wrt == "h0":
                expected = v @ last
            else:  # row k of the weight moves unit k alone
                expected = np.zeros(found.gradient.shape)
                expected[found.values.rows(gate)] = (v * last.T).T
            assert path.value == pytest.approx(expected, abs=1e-15)
            assert path.norm == pytest.approx(np.linalg.norm(path.value))
            assert [(node, source) for node, source in pairwise(path.nodes)][-1][1] == end


# PyTorch, with a copy of the weight for every step: the sum of the paths of each lag, and dE/dh.


def unrolled(network: Network, at: int, wrt: str) -> tuple[list[Any], dict[tuple[int, int], Any]]:
    """The copies of layer 1's weight and the states, once the loss at ``at`` has gone back."""
    layers = [[torch.tensor(a) for a in weights[:4]] for weights in network.layers]
    place, copies, states = ("Wx", "Wh", "bx", "bh").index(wrt), [], {}
    before = [[torch.tensor(part) for part in own] for own in network.state or []]
    for t in range(at):
        below = torch.tensor(network.x[t])
        for number, weights in enumerate(layers):
            own = list(weights)
            if number == 0:
                own[place] = own[place].clone().requires_grad_()
                copies.append(own[place])
            before[number] = step(network, below, before[number], own)
            below = before[number][0]
            if below.requires_grad:
                below.retain_grad()
            states[number + 1, t + 1] = below
    z = torch.tensor(network.Wy) @ below + torch.tensor(network.by)
    torch.nn.functional.cross_entropy(z[None], torch.tensor(network.target)[None]).backward()
    return copies, states


def step(network: Network, x: Any, state: list[Any], weights: list[Any]) -> list[Any]:
    Wx, Wh, bx, bh = weights
    if network.cell == "rnn":
        return [torch.tanh(Wx @ x + bx + Wh @ state[0] + bh)]
    if network.cell == "lstm":
        i, f, g, o = (Wx @ x + bx + Wh @ state[0] + bh).chunk(4)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return [torch.sigmoid(o) * torch.tanh(c), c]
    h, (xr, xz, xn) = state[0], (Wx @ x + bx).chunk(3)
    hr, hz, hn = (Wh @ h + bh).chunk(3)
    r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    H = len(h)
    inner = r * hn if network.options.get("reset_after", True) else Wh[2 * H :] @ (r * h) + bh[2 * H :]
    return [(1 - z) * torch.tanh(xn + inner) + z * h]


@pytest.mark.parametrize("wrt", ["Wx", "Wh", "bx", "bh"])
@pytest.mark.parametrize(
    ("cell", "options"), [("rnn", {}), ("gru", {}), ("gru", {"reset_after": False}), ("lstm", {})]
)
def test_groups_and_states_against_torch(cell: str, options: dict[str, Any], wrt: str) -> None:
    network = random_network(
        cell, 3, 6, hidden_size=4, input_size=3, output_size=5, loss="cross-entropy", **options
    )
    found = paths(network, wrt, 5)
    copies, states = unrolled(network, 5, wrt)
    for group, copy in zip(found.groups, reversed(copies), strict=True):
        # two float64 computations of some hundred operations on numbers around 1
        assert group.value == pytest.approx(copy.grad.numpy(), abs=1e-14)
        assert group.layer == 1 and group.norm == pytest.approx(copy.grad.norm().item())
    assert len(found.states) == 3 * 5
    for state in found.states:
        assert state.value == pytest.approx(states[state.layer, 5 - state.lag].grad.numpy(), abs=1e-14)


# How many.


@cells
def test_three_ways_of_counting(cell: str, options: dict[str, Any]) -> None:
    for L, at, layer in ((1, 1, 1), (1, 4, 1), (2, 3, 1), (2, 3, 2), (3, 3, 1), (3, 3, 2)):
        kinds = [("Wx", None), ("Wh", None), ("bx", None), ("bh", None), ("h0", None), ("c0", None)]
        steps = [("x", s) for s in range(1, at + 1)] if layer == 1 else []
        for kind, at_step in kinds + steps:
            if kind == "c0" and cell != "lstm":
                continue
            graph = Graph(cell, L, at, Wrt(kind, layer, at_step))
            walked = count_by_walking(graph)
            for end in graph.ends():
                listed = list(enumeration.routes_to(graph, end))
                assert len(listed) == len(set(listed)) == walked[end] == count_to(graph, end)


def test_the_rnn_counts_by_one_binomial() -> None:
    graph = Graph("rnn", 7, 100, Wrt("Wx", 3))
    walked = count_by_walking(graph)
    for end in graph.ends():
        lag = 100 - end.step
        assert walked[end] == count_to(graph, end) == comb(lag + 4, 4)
    assert sum(count_to(graph, end) for end in graph.ends()) == comb(104, 5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_counts_of_many_layers_and_steps(cell: str) -> None:
    for layer in (1, 3):
        graph = Graph(cell, 4, 60, Wrt("Wh", layer))
        walked = count_by_walking(graph)
        assert all(walked[end] == count_to(graph, end) for end in graph.ends())


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_too_many_to_list(cell: str) -> None:
    found = paths(cell, "Wh", layers=4, steps=40, hidden_size=5)
    assert found.count > 10_000 and found.paths == [] and len(found.groups) == 40
    assert found.adds_up and sum(group.count for group in found.groups) == found.count
    assert "The 40 groups add up" in text_report(found)
    if cell != "lstm":
        closed = (
            law(found.graph).replace("C(k + 3, 3)", "comb(k + 3, 3)").replace("^", "**").replace(" 4", "*4")
        )
        for group in found.groups:
            assert eval(closed.replace(" 3**", "*3**"), {"comb": comb, "k": group.lag}) == group.count
    assert found.first(3)[0].lag == 0  # and the first few can be had all the same
    assert to_json(found)["paths"] == [] and to_json(found)["count"] == found.count


def test_max_paths_is_the_largest_number_listed() -> None:
    assert len(paths("rnn", max_paths=3).paths) == 3 and paths("rnn", max_paths=2).paths == []
    assert paths("rnn", max_paths=0).paths == []


def test_a_path_by_its_number() -> None:
    for cell in ("rnn", "gru", "lstm"):
        found = paths(cell, "Wh", layers=2, steps=3, hidden_size=1, max_paths=10_000)
        assert [found.number(k + 1).nodes for k in range(found.count)] == [path.nodes for path in found.paths]
    large = paths("lstm", "Wh", layers=4, steps=40)
    assert large.number(large.count).lag == 39 and large.number(10**12).norm > 0
    for number in (0, large.count + 1):
        with pytest.raises(UsageError, match=f"path is {number}"):
            large.number(number)


# Faults that must be seen.


def test_a_wrong_partial_derivative_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Values.partial

    def wrong(self: Values, node: Node, source: Node) -> Partial:
        partial = right(self, node, source)
        if (node.letter, source.letter) != ("c", "c") or partial.left is None:
            return partial
        return Partial(partial.left * (1 + 1e-9))  # one factor, by one part in a milliard

    assert paths("lstm", max_paths=500).adds_up
    monkeypatch.setattr(Values, "partial", wrong)
    found = paths("lstm", max_paths=500)
    assert not found.adds_up and "DO NOT add up" in text_report(found)


def test_a_path_that_is_missing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = enumeration.routes
    monkeypatch.setattr(
        "backtime.insight.derivation.derivation.routes", lambda graph: list(listed(graph))[:-1]
    )
    assert not paths("rnn").adds_up


def test_an_edge_that_is_missing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Graph.sources
    monkeypatch.setattr(
        Graph, "sources", lambda self, node: [s for s in right(self, node) if s.letter != "r"]
    )
    assert not paths("gru").adds_up
    graph = Graph("gru", 2, 2, Wrt("Wx", 1))
    assert any(count_by_walking(graph)[end] != count_to(graph, end) for end in graph.ends())


# Edges.


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
