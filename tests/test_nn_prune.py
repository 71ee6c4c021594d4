"""Pruning: single weights by masks, on the engine; whole units, in a layer of torch.nn that gets smaller."""

import io
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.ao.pruning._experimental.pruner import BaseStructuredSparsifier, LSTMSaliencyPruner
from torch.nn.utils import prune

import backtime
from backtime import UsageError, nn

pytestmark = pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning")  # but in the test of it
LAYERS, CELLS = ("RNN", "GRU", "LSTM"), ("RNNCell", "GRUCell", "LSTMCell")
I, H, T, B = 5, 6, 4, 3


def made(kind: str) -> tuple[Any, str, Tensor]:
    """A layer or cell, the name of its recurrent weight, and an input."""
    cell = kind in CELLS
    x = torch.randn(*(() if cell else (T,)), B, I)
    return getattr(nn, kind)(I, H), "weight_hh" if cell else "weight_hh_l0", x


def first(result: Any) -> Tensor:
    while isinstance(result, tuple):
        result = result[0]
    return result


METHODS: dict[str, Any] = {
    "smallest": lambda module, name: prune.l1_unstructured(module, name, 0.5),
    "at random": lambda module, name: prune.random_unstructured(module, name, 0.5),
    "rows": lambda module, name: prune.ln_structured(module, name, 0.5, n=2, dim=0),
    "columns at random": lambda module, name: prune.random_structured(module, name, 0.5, dim=1),
    "over the model": lambda module, name: prune.global_unstructured(
        [(module, name), (module, name.replace("hh", "ih"))], prune.L1Unstructured, amount=0.5
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
def test_a_masked_layer_is_the_layer_of_the_masked_weights(kind: str, method: str) -> None:
    module, name, x = made(kind)
    twin = getattr(nn, kind)(I, H)
    twin.load_state_dict(module.state_dict())
    METHODS[method](module, name)
    masks = {key.removesuffix("_mask"): mask for key, mask in module.named_buffers()}
    with torch.no_grad():
        for key, mask in masks.items():
            getattr(twin, key).mul_(mask)
    assert (masks[name] == 0).any() and torch.equal(first(module(x)), first(twin(x)))
    first(module(x)).sum().backward()
    first(twin(x)).sum().backward()
    for key, mask in masks.items():
        torch.testing.assert_close(getattr(module, f"{key}_orig").grad, getattr(twin, key).grad * mask)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_flat_weights_follow_pruning_and_its_end(kind: str) -> None:
    layer, name, x = made(kind)
    prune.l1_unstructured(layer, name, 0.5)
    assert [isinstance(w, torch.nn.Parameter) for w in layer._flat_weights].count(False) == 1
    y = first(layer(x))
    prune.remove(layer, name)
    held = dict(layer.named_parameters())
    assert set(held) == set(getattr(torch.nn, kind)(I, H).state_dict())
    assert all(w is held[key] for key, w in zip(layer._flat_weights_names, layer._flat_weights, strict=True))
    assert torch.equal(first(layer(x)), y)


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
def test_a_pruned_layer_is_saved_with_its_mask(kind: str) -> None:
    module, name, x = made(kind)
    prune.l1_unstructured(module, name, 0.5)
    y, file = first(module(x)).detach(), io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other = getattr(nn, kind)(I, H)
    prune.identity(other, name)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(first(other(x)), y)


# Whole units.


class LowerHalf(BaseStructuredSparsifier):
    """Takes away the second half of the units of every gate."""

    def update_mask(self, module: Any, tensor_name: str, **_: Any) -> None:
        for parametrization in getattr(module.parametrizations, tensor_name):
            for gate in parametrization.mask.data.chunk(4):
                gate[len(gate) // 2 :] = False


class Model(torch.nn.Module):
    """A recurrent layer, perhaps a norm, and a head."""

    def __init__(self, layer: Any, norm: bool = False) -> None:
        super().__init__()
        self.layer, self.head = layer, torch.nn.Linear(8, 2)
        self.norm = torch.nn.LayerNorm(8) if norm else None

    def forward(self, x: Tensor) -> Any:
        y, _ = self.layer(x)
        y = y if self.norm is None else self.norm(y)
        return self.head(y)


def wanted(layers: int) -> list[dict[str, str]]:
    return [{"tensor_fqn": f"layer.weight_{way}_l{n}"} for n in range(layers) for way in ("ih", "hh")]


def pruned(model: Any, layers: int, how: Any = LowerHalf) -> Any:
    pruner = how({"sparsity_level": 0.5})
    pruner.prepare(model, wanted(layers))
    pruner.enable_mask_update = True
    pruner.step()
    return pruner.prune()


@pytest.mark.parametrize("how", [LowerHalf, LSTMSaliencyPruner])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_units_are_taken_away_as_from_torchs_layer(layers: int, norm: bool, how: Any) -> None:
    theirs, ours = Model(torch.nn.LSTM(8, 8, layers), norm), Model(nn.LSTM(8, 8, layers), norm)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(T, B, 8)
    expected, found = pruned(theirs, layers, how), pruned(ours, layers, how)
    assert found.layer.hidden_size == expected.layer.hidden_size == 4
    assert torch.equal(found(x), expected(x))
    assert backtime.accelerate(found).swapped and type(found.layer) is nn.LSTM
    torch.testing.assert_close(found(x), expected(x))


def test_structured_pruning_says_what_it_did_to_the_model() -> None:
    model = Model(nn.LSTM(8, 8))
    weights = list(model.layer.parameters())
    nn.backends.say_once.cache_clear()
    with pytest.warns(nn.FallbackWarning, match=r"structured pruning has put it.*accelerate\(model\) undoes"):
        pruner = LowerHalf({})
        pruner.prepare(model, wanted(1)[:1])
    assert isinstance(model.layer, torch.nn.LSTM) and not isinstance(model.layer, nn.LSTM)
    assert model.layer.parametrizations.weight_ih_l0.original is weights[0]


def test_units_of_a_layer_with_options_stay_and_the_model_as_it_is() -> None:
    model = Model(nn.LSTM(8, 8, peephole=True))
    with pytest.raises(
        UsageError, match=r"^structured pruning.*backtime.nn.LSTM has peephole=True; expected"
    ):
        pruned(model, 1)
    assert type(model.layer) is nn.LSTM and not hasattr(model.layer, "parametrizations")


def test_a_layer_that_pruning_does_not_find_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.recording.prune, "_make_torchs", lambda module: None)
    with pytest.raises(Exception, match="still contains FakeStructuredSparsity"):
        pruned(Model(nn.LSTM(8, 8)), 1)
