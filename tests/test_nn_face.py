"""The same face as torch.nn's: arguments, draws, modes, wrappers, of layers and cells."""

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor

from backtime import nn
from test_nn import assert_same

pytestmark = pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning")
LAYERS, CELLS = ["RNN", "GRU", "LSTM"], ["RNNCell", "GRUCell", "LSTMCell"]
T, B, I, H = 5, 3, 4, 6


def twins(kind: str, **arguments: Any) -> list[Any]:
    """Ours and torch's from one seed."""
    found = []
    for module in (nn, torch.nn):
        torch.manual_seed(0)
        found.append(getattr(module, kind)(I, H, dtype=torch.float64, **arguments))
    return found


def batch(kind: str, seed: int = 1) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    shape = (B, I) if kind in CELLS else (T, B, I)
    return torch.randn(shape, dtype=torch.float64, generator=g)


def first(outcome: Any) -> Tensor:
    while isinstance(outcome, tuple):
        outcome = outcome[0]
    found: Tensor = outcome
    return found


# torch.nn's layers take *args; what they mean stands in RNNBase and in their documentation
BASE = ["num_layers", "bias", "batch_first", "dropout", "bidirectional"]
ORDER = {
    "RNN": ["num_layers", "nonlinearity", *BASE[1:], "device", "dtype"],
    "GRU": [*BASE, "device", "dtype"],
    "LSTM": [*BASE, "proj_size", "device", "dtype"],
}


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
def test_arguments_have_torchs_names_order_and_defaults(kind: str) -> None:
    ours = inspect.signature(getattr(nn, kind)).parameters
    placed = [name for name, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert all(p.kind is p.KEYWORD_ONLY for name, p in ours.items() if name not in placed)
    if kind in CELLS:
        theirs = inspect.signature(getattr(torch.nn, kind)).parameters
        assert placed == list(theirs)
        usual = {name: p.default for name, p in theirs.items()}
    else:
        assert placed == ["input_size", "hidden_size", *ORDER[kind]]
        base = inspect.signature(torch.nn.RNNBase).parameters
        usual = {name: base[name].default for name in placed if name in base} | {"nonlinearity": "tanh"}
    assert {name: ours[name].default for name in placed} == {name: usual[name] for name in placed}


@pytest.mark.parametrize("kind", LAYERS)
def test_arguments_by_place_make_the_same_layer(kind: str) -> None:
    placed: dict[str, list[Any]] = {"RNN": ["relu"], "GRU": [], "LSTM": []}
    given = [I, H, 2, *placed[kind], False, True, 0.25, True, *([2] if kind == "LSTM" else [])]
    ours, theirs = (getattr(module, kind)(*given) for module in (nn, torch.nn))
    attributes = [*BASE, "input_size", "hidden_size", "proj_size"]
    assert [getattr(ours, a) for a in attributes] == [getattr(theirs, a) for a in attributes]
    assert [(n, p.shape) for n, p in ours.named_parameters()] == [
        (n, p.shape) for n, p in theirs.named_parameters()
    ]


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
def test_reset_parameters_draws_as_torch_and_leaves_the_generator_there(kind: str) -> None:
    states = []
    for module in twins(kind, bias=True):
        torch.manual_seed(11)
        module.reset_parameters()
        states.append({**module.state_dict(), "next draw": torch.rand(1)})
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
def test_modes_freezing_and_hooks(kind: str) -> None:
    module, x = twins(kind)[0], batch(kind)
    y = first(module(x))
    with torch.no_grad():
        assert not first(module(x)).requires_grad
    with torch.inference_mode():
        assert first(module(x)).is_inference()
    names = [name for name, _ in module.named_parameters()]
    for frozen in names:  # each in its turn
        module.zero_grad(set_to_none=True)
        getattr(module, frozen).requires_grad_(False)
        first(module(x)).sum().backward()
        assert [n for n, p in module.named_parameters() if p.grad is None] == [frozen]
        getattr(module, frozen).requires_grad_(True)
    seen: list[str] = []
    with module.register_forward_hook(lambda *_: seen.append("forward")):
        assert torch.equal(first(module(x)), y)
    assert seen == ["forward"]


@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_in_eval_mode(kind: str) -> None:
    gradients = []
    for mode in (True, False):
        module = twins(kind, num_layers=2, bidirectional=True)[0].train(mode)
        module(batch(kind))[0].square().sum().backward()
        gradients.append([p.grad for p in module.parameters()])
    assert all(torch.equal(a, b) and a.any() for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("kind", LAYERS)
def test_data_parallel_of_one_place(kind: str) -> None:
    ours, theirs = twins(kind, num_layers=2, batch_first=True)
    wrapped = torch.nn.DataParallel(ours)  # without a GPU it calls the module itself
    x = batch(kind)
    assert_same({"y": wrapped(x)[0]}, {"y": theirs(x)[0]})
    assert list(wrapped.state_dict()) == [f"module.{name}" for name in theirs.state_dict()]
