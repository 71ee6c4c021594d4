"""The layers are ``torch.nn``'s: instances of its classes, with what these keep and do."""

import copy
import importlib
import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrizations, prune

from backtime import nn
from test_nn_face import CELLS, LAYERS, H, I, batch, first, twins

pytestmark = pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning")
FORMS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "bidirectional": True, "batch_first": True},
    {"num_layers": 2, "bias": False},
]


def assert_flat(layer: Any) -> None:
    """``_flat_weights`` holds what the layer's names stand for now, as ``torch.nn``'s forward needs it."""
    assert layer._flat_weights_names == [name for own in layer._all_weights for name in own]
    found = [getattr(layer, name) for name in layer._flat_weights_names]
    assert len(found) == len(layer._flat_weights)
    assert all(a is b for a, b in zip(found, layer._flat_weights, strict=True))


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
def test_an_instance_of_torchs_class(kind: str) -> None:
    ours, theirs = twins(kind)
    assert isinstance(ours, getattr(torch.nn, kind))
    assert isinstance(ours, torch.nn.RNNCellBase if kind in CELLS else torch.nn.RNNBase)
    assert set(vars(theirs)) <= set(vars(ours))
    assert {name for name in dir(theirs) if not name.startswith("__")} <= set(dir(ours))


def test_a_jordan_network_is_a_recurrent_layer() -> None:
    layer = nn.Jordan(I, H, 2, num_layers=2)
    assert isinstance(layer, torch.nn.RNNBase) and layer.mode == "JORDAN"
    assert layer.get_expected_hidden_size(torch.zeros(5, 3, I), None) == (2, 3, 2)
    assert_flat(layer)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("arguments", FORMS)
def test_flat_weights_are_torchs_and_follow(kind: str, arguments: dict[str, Any]) -> None:
    ours, theirs = twins(kind, **arguments)
    for name in ("_flat_weights_names", "_all_weights", "mode"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert [w.shape for w in ours._flat_weights] == [w.shape for w in theirs._flat_weights]
    assert_flat(ours)
    ours.load_state_dict(theirs.state_dict())
    for change in (ours.half, ours.float, lambda: ours.to("meta"), lambda: ours.to_empty(device="cpu")):
        change()
        assert_flat(ours)
    ours.weight_hh_l0 = torch.nn.Parameter(torch.ones_like(ours.weight_hh_l0))  # as weights are tied
    assert_flat(ours)
    assert_flat(copy.deepcopy(ours))
    assert_flat(pickle.loads(pickle.dumps(ours)))


@pytest.mark.parametrize("kind", LAYERS)
def test_flat_weights_hold_computed_ones(kind: str) -> None:
    pruned, normed = twins(kind)[0], twins(kind)[0]
    prune.random_unstructured(pruned, "weight_hh_l0", 0.5)
    assert_flat(pruned)
    expected = [copy.deepcopy(w) for w in normed._flat_weights]
    parametrizations.weight_norm(normed, "weight_hh_l0")
    normed._update_flat_weights()
    for found, before in zip(normed._flat_weights, expected, strict=True):
        torch.testing.assert_close(found, before)


def test_options_add_their_weights_after_torchs() -> None:
    layer = nn.LSTM(I, H, 2, layer_norm=True, peephole=True, learned_state=True)
    plain = nn.LSTM(I, H, 2)
    for own, usual in zip(layer._all_weights, plain._all_weights, strict=True):
        assert own[:4] == usual and set(own[4:]) == {
            name.replace("weight_ih", field)
            for name in usual[:1]
            for field in ("weight_peephole", "gain_ih", "gain_hh", "gain_c", "bias_c")
        }
    assert_flat(layer)
    layer.flatten_parameters()


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("arguments", FORMS)
def test_what_torch_asks_a_layer_is_answered_alike(kind: str, arguments: dict[str, Any]) -> None:
    ours, theirs = twins(kind, **arguments)
    x, sizes, order = batch(kind), torch.tensor([3, 2]), torch.tensor([2, 0, 1])
    parts = nn.state.initial(ours, x.shape[0] if ours.batch_first else x.shape[1])
    for layer in (ours, theirs):
        layer.check_forward_args(x, parts, None)
        with pytest.raises(RuntimeError, match=r"input\.size"):
            layer.check_input(x[..., :-1], None)
    for given in (None, sizes):
        rows = x if given is None else x[0]
        assert ours.get_expected_hidden_size(rows, given) == theirs.get_expected_hidden_size(rows, given)
    moved = [first(layer.permute_hidden(parts, order)).shape for layer in (ours, theirs)]
    assert moved[0] == moved[1]
    assert [[w.shape for w in own] for own in ours.all_weights] == [
        [w.shape for w in own] for own in theirs.all_weights
    ]


def test_an_initialiser_that_asks_for_the_type_finds_the_layer() -> None:
    """As reinforcement learning and speech libraries write it."""

    def initialise(module: torch.nn.Module) -> None:
        if isinstance(module, torch.nn.LSTM):
            for name, value in module.named_parameters():
                (torch.nn.init.zeros_ if "bias" in name else torch.nn.init.ones_)(value)

    model = torch.nn.Sequential(nn.LSTM(I, H))
    model.apply(initialise)
    assert all(bool((p == ("weight" in name)).all()) for name, p in model.named_parameters())


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("arguments", FORMS)
def test_what_was_pickled_before_opens(kind: str, arguments: dict[str, Any]) -> None:
    """Before these layers were torch.nn's they kept none of its lists, but one of their own, with holes."""
    layer, x = twins(kind, **arguments)[0], batch(kind)
    torchs = ("mode", "_all_weights", "_flat_weights", "_flat_weights_names", "_flat_weight_refs")
    older = {name: value for name, value in vars(layer).items() if name not in torchs}
    holes = (None,) * (11 - len(layer._all_weights[0]))
    older["_names"] = [(*own, *holes) for own in layer._all_weights]
    assert importlib.import_module("backtime.nn.settings").Settings is type(layer.settings)  # where it was
    opened: Any = type(layer).__new__(type(layer))
    opened.__setstate__(older)
    assert set(vars(opened)) == set(vars(layer)) and opened.mode == layer.mode
    assert_flat(opened)
    assert torch.equal(opened(x)[0], layer(x)[0])


@pytest.mark.slow
@pytest.mark.parametrize("first_loaded", ["torch._dynamo", "backtime.nn"])
def test_the_compiler_takes_ours_into_its_graph_and_torchs_not(first_loaded: str) -> None:
    program = f"""
import {first_loaded}
import torch
from backtime import nn
x, layer = torch.randn(3, 2, 4), nn.LSTM(4, 5)
y = torch.compile(torch.nn.Sequential(layer), backend="eager", fullgraph=True)(x)[0]
assert torch.equal(y, layer(x)[0])
assert torch._dynamo.config.allow_rnn is False
try:
    torch.compile(torch.nn.LSTM(4, 5), backend="eager", fullgraph=True)(x)
except torch._dynamo.exc.Unsupported:
    print("refused")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout == "refused\n", run.stderr


def test_weights_shared_by_two_layers_get_both_gradients() -> None:
    ours, x = [nn.GRU(I, H, dtype=torch.float64) for _ in range(2)], batch("GRU")

    def loss() -> Tensor:
        return sum((layer(x)[0].square().sum() for layer in ours), torch.zeros(()))

    ours[1].weight_hh_l0 = ours[0].weight_hh_l0
    loss().backward()
    both = ours[0].weight_hh_l0.grad.clone()
    ours[1].weight_hh_l0 = torch.nn.Parameter(ours[0].weight_hh_l0.detach().clone())
    ours[0].zero_grad()
    loss().backward()
    torch.testing.assert_close(both, ours[0].weight_hh_l0.grad + ours[1].weight_hh_l0.grad)


@pytest.mark.parametrize("kind", ["RNN", "GRU"])
def test_a_projection_belongs_to_the_lstm(kind: str) -> None:
    for module, error in ((torch.nn, ValueError), (nn, ValueError)):
        with pytest.raises(error, match="proj_size argument is only supported for LSTM, not RNN or GRU"):
            getattr(module, kind)(3, 4, proj_size=2)


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_a_cell_without_units_steps_as_torchs_does(kind: str) -> None:
    theirs, ours = (getattr(module, kind)(3, 0)(torch.zeros(2, 3)) for module in (torch.nn, nn))
    for one, other in zip(theirs, ours, strict=True):
        assert one.shape == other.shape
