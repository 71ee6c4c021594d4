"""``accelerate`` and ``restore`` on models made of torch.nn."""

import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

import backtime
from backtime import UsageError, accelerate, nn, restore

pytestmark = pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning")
I, H = 4, 6


class Own(torch.nn.LSTM):
    """A subclass, which may do anything."""


class Model(torch.nn.Module):
    """Every kind of layer and cell, one of them used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.LSTM(I, H, 2, bidirectional=True, proj_size=3, batch_first=True)
        self.blocks = torch.nn.Sequential(torch.nn.Linear(H, H))
        self.gru = torch.nn.GRU(H, H, bias=False)
        self.again = self.gru
        self.relu = torch.nn.RNN(H, H, nonlinearity="relu")
        self.cells = torch.nn.ModuleList(
            [torch.nn.RNNCell(H, H, nonlinearity="relu"), torch.nn.GRUCell(H, H), torch.nn.LSTMCell(H, H)]
        )
        self.own = Own(H, H)

    def forward(self, x: Tensor) -> Tensor:
        y = self.blocks(self.first(x)[0]).transpose(0, 1)
        y = self.again(self.gru(y)[0])[0]
        y = self.own(self.relu(y)[0])[0]
        rows = [cell(y[0]) for cell in self.cells]
        return torch.stack([rows[0], rows[1], rows[2][0]])


def made() -> tuple[Model, Tensor]:
    torch.manual_seed(0)
    return Model().double(), torch.randn(3, 5, I, dtype=torch.float64)


def outcome(model: Any, x: Tensor) -> list[Tensor]:
    y = model(x)
    return [
        y,
        *torch.autograd.grad(
            y.square().sum(), list(model.parameters()), allow_unused=True, materialize_grads=True
        ),
    ]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_every_layer_is_swapped_and_the_results_stay() -> None:
    model, x = made()
    expected, before = outcome(model, x), dict(model.named_parameters())
    keys = list(model.state_dict())
    report = backtime.accelerate(model)
    assert_same(outcome(model, x), expected)
    assert list(report.swapped) == ["first", "gru", "relu", "cells.0", "cells.1", "cells.2"]
    assert list(report.left) == ["own"] and "subclass" in report.left["own"]
    assert "gru: torch.nn.GRU -> backtime.nn.GRU" in str(report) and "own: left" in str(report)
    assert isinstance(model.first, nn.LSTM) and model.gru is model.again and type(model.own) is Own
    assert all(p is before[name] for name, p in model.named_parameters())
    assert list(model.state_dict()) == keys
    assert not backtime.accelerate(model).swapped  # nothing is left to do


def test_restore_undoes_it() -> None:
    model, x = made()
    shape = [(name, type(module), set(module.__dict__)) for name, module in model.named_modules()]
    expected, text = outcome(model, x), repr(model)
    backtime.accelerate(model)
    assert repr(model) == text.replace("RNN(6, 6)", "RNN(6, 6, nonlinearity=relu)")  # torch's tells less
    outcome(model, x)
    copied = copy.deepcopy(model)
    model.own_ours = nn.GRU(I, H)
    report = backtime.restore(model)
    assert report.left == {"own_ours": "it was not swapped by accelerate"}
    del model.own_ours
    assert repr(model) == text
    assert [(name, type(module), set(module.__dict__)) for name, module in model.named_modules()] == shape
    assert_same(outcome(model, x), expected)
    model.first.flatten_parameters()
    assert all(a is b for a, b in zip(model.first._flat_weights, model.first.parameters(), strict=True))
    backtime.restore(copied)
    assert_same(outcome(copied, x), expected)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM", "LSTMCell"])
def test_the_model_may_be_the_layer(kind: str) -> None:
    layer = getattr(torch.nn, kind)(I, H)
    x = torch.randn(3, I)
    expected = layer(x)[0]
    report = backtime.accelerate(layer)
    assert type(layer) is getattr(nn, kind)
    assert str(report) == f"the model itself: torch.nn.{kind} -> backtime.nn.{kind}"
    torch.testing.assert_close(layer(x)[0], expected)
    backtime.restore(layer)
    assert type(layer) is getattr(torch.nn, kind)
    assert torch.equal(layer(x)[0], expected)
    assert str(backtime.accelerate(torch.nn.Linear(1, 1))) == "no recurrent layer"


def test_hooks_mode_and_optimisers_stay() -> None:
    model, x = made()
    seen: list[str] = []
    model.gru.register_forward_hook(lambda *_: seen.append("gru"))
    model.relu.eval()
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    backtime.accelerate(model)
    assert not model.relu.training and model.gru.training
    before = model.first.weight_hh_l1_reverse.detach().clone()
    model(x).square().sum().backward()
    optimiser.step()
    assert seen == ["gru", "gru"]
    assert not torch.equal(model.first.weight_hh_l1_reverse, before)


def test_a_computed_weight_stays_computed() -> None:
    model, _ = made()
    torch.nn.utils.parametrizations.weight_norm(model.gru, "weight_hh_l0")
    with pytest.warns(FutureWarning, match="weight_norm"):
        torch.nn.utils.weight_norm(model.relu, "weight_hh_l0")
    x = torch.randn(5, H).double()
    expected = model.relu(x)[0]
    report = backtime.accelerate(model)
    assert "gru" in report.left  # a parametrization makes a subclass of the layer's class
    torch.testing.assert_close(model.relu(x)[0], expected)
    with torch.no_grad():
        model.relu.weight_hh_l0_g.mul_(2)
    assert not torch.allclose(model.relu(x)[0], expected)


def test_a_file_of_the_whole_model_names_backtime_until_restored() -> None:
    model = torch.nn.ModuleList(
        [torch.nn.LSTM(3, 4), torch.nn.GRUCell(3, 4), torch.nn.RNN(3, 4, nonlinearity="relu")]
    )
    before = pickle.dumps(model)
    backtime.accelerate(model)
    again = pickle.loads(pickle.dumps(model))
    assert [type(layer) for layer in again] == [
        nn.LSTM,
        nn.GRUCell,
        nn.RNN,
    ]  # accelerated, as in a worker process
    assert b"backtime" in pickle.dumps(model)
    backtime.restore(model)
    assert b"backtime" not in pickle.dumps(model)
    assert len(pickle.dumps(model)) == len(before)


def test_torch_loads_only_when_asked_for() -> None:
    code = (
        "import backtime, sys; has = lambda: print('torch' in sys.modules); has(); backtime.accelerate; has()"
    )
    found = subprocess.run([sys.executable, "-c", code], stdout=-1, text=True, check=True).stdout.split()
    assert found == ["False", "True"]
    with pytest.raises(AttributeError, match="no attribute 'speed'"):
        backtime.speed  # noqa: B018


@pytest.mark.parametrize("call", [accelerate, restore])
def test_what_is_no_model_is_told(call: Any) -> None:
    with pytest.raises(UsageError, match=r"^model is 5; expected a torch.nn.Module$"):
        call(5)
