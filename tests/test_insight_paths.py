"""Every path of backpropagation: the terms against the reference, PyTorch and finite differences."""

from functools import reduce
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch

from backtime.insight import Network, paths
from backtime.insight.derivation import enumeration
from backtime.insight.derivation.counting import count_by_walking, count_to
from backtime.insight.drawing.text import formulas, text_report
from backtime.insight.unfolded.graph import Graph, Node, Wrt
from backtime.insight.unfolded.network import random_network
from backtime.insight.unfolded.partials import Partial, Values
from derived_cells import cells

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
