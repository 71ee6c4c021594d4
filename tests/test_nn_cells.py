"""The cells against torch.nn's."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from backtime import nn
from test_nn import assert_same

KINDS = ["RNNCell", "GRUCell", "LSTMCell"]
B, I, H = 3, 4, 6


def twins(kind: str, **arguments: Any) -> tuple[Any, Any]:
    cells = []
    for module in (nn, torch.nn):
        torch.manual_seed(0)
        cells.append(getattr(module, kind)(I, H, dtype=torch.float64, **arguments))
    return cells[0], cells[1]


def everything(cell: Any, x: Tensor, state: Any) -> dict[str, Tensor]:
    """The new state and the gradient of every input and parameter, for random cotangents."""
    last = cell(x, state)
    parts = list(last) if isinstance(last, tuple) else [last]
    g = torch.Generator().manual_seed(2)
    total = sum((p * torch.randn(p.shape, generator=g).double()).sum() for p in parts)
    given = [] if state is None else list(state) if isinstance(state, tuple) else [state]
    sources = [x, *given, *cell.parameters()]
    found = torch.autograd.grad(total, sources)
    return {str(n): part.detach() for n, part in enumerate([*parts, *found])}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arguments", [{}, {"bias": False}])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("with_state", [True, False])
def test_a_step_is_that_of_torch(kind: str, arguments: Any, batched: bool, with_state: bool) -> None:
    ours, theirs = twins(kind, **arguments)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(v, theirs.state_dict()[name]) for name, v in ours.state_dict().items())
    assert repr(ours) == repr(theirs)
    rows = (B,) if batched else ()
    x = torch.randn(*rows, I, dtype=torch.float64, requires_grad=True)
    h, c = (torch.randn(*rows, H, dtype=torch.float64, requires_grad=True) for _ in range(2))
    state = None if not with_state else (h, c) if kind == "LSTMCell" else h
    assert_same(everything(ours, x, state), everything(theirs, x, state))


def test_relu_is_that_of_torch() -> None:
    ours, theirs = twins("RNNCell", nonlinearity="relu")
    x = torch.randn(B, I, dtype=torch.float64, requires_grad=True)
    assert_same(everything(ours, x, None), everything(theirs, x, None))


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_of_steps_is_the_layer(kind: str) -> None:
    cell, _ = twins(kind)
    layer = getattr(nn, kind.removesuffix("Cell"))(I, H, dtype=torch.float64)
    layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    x, state = torch.randn(5, B, I, dtype=torch.float64), None
    for t, expected in enumerate(layer(x)[0]):
        state = cell(x[t], state)
        assert torch.equal(state[0] if kind == "LSTMCell" else state, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_integers_and_copies(kind: str) -> None:
    cell, _ = twins(kind)
    tokens = torch.tensor([0, 3, 1])
    one_hot = torch.nn.functional.one_hot(tokens, I).double()
    for found in (copy.deepcopy(cell)(tokens), cell(tokens)):
        torch.testing.assert_close(found, cell(one_hot))
