"""The life of a module: copied, saved, shared, wrapped, frozen, hooked; weights that are no parameters."""

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrizations, parametrize, prune

from backtime import nn

pytestmark = pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning")
T, B, I, H = 5, 3, 4, 6
KINDS = ["RNN", "GRU", "LSTM"]
FORMS: list[dict[str, Any]] = [{}, {"num_layers": 2, "bidirectional": True}]


def layer_of(kind: str, module: Any = nn, **arguments: Any) -> Any:
    torch.manual_seed(0)
    return getattr(module, kind)(I, H, dtype=torch.float64, **arguments)


def batch(seed: int = 1) -> Tensor:
    return torch.randn(T, B, I, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def saved_and_loaded(layer: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize("kind", [*KINDS, "Jordan"])
@pytest.mark.parametrize("arguments", FORMS)
@pytest.mark.parametrize("way", [copy.deepcopy, saved_and_loaded, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_whole_and_apart(kind: str, arguments: dict[str, Any], way: Any) -> None:
    layer = nn.Jordan(I, H, 2).double() if kind == "Jordan" else layer_of(kind, **arguments)
    layer(batch())[0].sum().backward()
    other = way(layer)
    assert torch.equal(other(batch())[0], layer(batch())[0])
    assert repr(other) == repr(layer) and type(other) is type(layer)
    with torch.no_grad():
        other.weight_hh_l0.zero_()
    assert layer.weight_hh_l0.abs().max() > 0
    assert not torch.equal(other(batch())[0], layer(batch())[0])


@pytest.mark.parametrize("kind", KINDS)
def test_changes_of_the_data_are_seen(kind: str) -> None:
    ours, theirs = layer_of(kind), layer_of(kind, torch.nn)
    ours(batch())
    for layer in (ours, theirs):
        layer.weight_hh_l0.data.mul_(0.5)
        layer.weight_ih_l0.data = layer.weight_ih_l0.data.clone() + 1
        with torch.no_grad():
            layer.bias_hh_l0.add_(0.1)
    torch.testing.assert_close(ours(batch())[0], theirs(batch())[0])
    ours.share_memory()
    assert ours.weight_hh_l0.is_shared()
    torch.testing.assert_close(ours(batch())[0], theirs(batch())[0])
    ours.flatten_parameters()
    assert [[w.shape for w in own] for own in ours.all_weights] == [
        [w.shape for w in own] for own in theirs.all_weights
    ]


def dressed(layer: Any, how: str) -> Any:
    """The layer with a weight that is computed."""
    if how == "weight_norm":
        return parametrizations.weight_norm(layer, "weight_hh_l0")
    if how == "spectral_norm":
        return parametrizations.spectral_norm(layer, "weight_hh_l0", n_power_iterations=3)
    if how == "orthogonal":
        return parametrizations.orthogonal(layer, "weight_hh_l0")
    if how == "pruned":
        prune.l1_unstructured(layer, "weight_hh_l0", 0.5)
        return layer
    parametrize.register_parametrization(layer, "weight_ih_l0", torch.nn.Tanh())
    return layer


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["weight_norm", "spectral_norm", "orthogonal", "pruned", "own"])
def test_computed_weights_are_those_of_torch(kind: str, how: str) -> None:
    results = []
    for module in (nn, torch.nn):
        torch.manual_seed(5)
        layer = dressed(layer_of(kind, module), how)
        layer.train(how != "spectral_norm")  # which iterates once more each time that the weight is read
        torch.manual_seed(6)
        y = layer(batch())[0]
        y.square().sum().backward()
        results.append({"y": y} | {name: p.grad for name, p in layer.named_parameters()})
    assert results[0].keys() == results[1].keys()
    for name, value in results[1].items():
        torch.testing.assert_close(results[0][name], value, rtol=1e-9, atol=1e-10)


def test_the_older_weight_norm_and_removing_a_parametrization() -> None:
    layer, plain = layer_of("LSTM"), layer_of("LSTM")
    with pytest.warns(FutureWarning, match="weight_norm"):
        torch.nn.utils.weight_norm(layer, "weight_hh_l0")
    torch.testing.assert_close(layer(batch())[0], plain(batch())[0])
    torch.nn.utils.remove_weight_norm(layer, "weight_hh_l0")
    torch.testing.assert_close(layer(batch())[0], plain(batch())[0])
    normed = dressed(layer_of("GRU"), "weight_norm")
    parametrize.remove_parametrizations(normed, "weight_hh_l0")
    torch.testing.assert_close(normed(batch())[0], layer_of("GRU")(batch())[0])


def test_hooks_run() -> None:
    layer, seen = layer_of("GRU"), []
    layer.register_forward_pre_hook(lambda module, args: seen.append("before"))
    layer.register_forward_hook(lambda module, args, out: seen.append(tuple(out[0].shape)))
    layer.register_full_backward_hook(lambda module, dx, dy: seen.append("back"))
    layer.weight_hh_l0.register_hook(lambda g: seen.append("weight") or g * 0)
    x = batch().requires_grad_()
    layer(x)[0].sum().backward()
    assert sorted(map(str, seen)) == sorted(["before", str((T, B, H)), "back", "weight"])
    assert not layer.weight_hh_l0.grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_optimisers_and_clipping_take_it_as_torchs(kind: str) -> None:
    results = []
    for module in (nn, torch.nn):
        layer = layer_of(kind, module, num_layers=2, bidirectional=True)
        optimiser = torch.optim.Adam(layer.parameters(), 0.01)
        for n in range(3):
            optimiser.zero_grad()
            layer(batch(n))[0].square().mean().backward()
            norm = torch.nn.utils.clip_grad_norm_(layer.parameters(), 0.01)
            optimiser.step()
        results.append([norm, *layer.parameters()])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_weights_and_modes_without_gradients(kind: str) -> None:
    layer = layer_of(kind, num_layers=2, bidirectional=True)
    layer.weight_ih_l0_reverse.requires_grad_(False)
    layer(batch())[0].sum().backward()
    assert layer.weight_ih_l0_reverse.grad is None and layer.weight_hh_l0_reverse.grad is not None
    y = layer(batch())[0].detach()
    with torch.no_grad():
        assert torch.equal(layer(batch())[0], y)
    with torch.inference_mode():
        found = layer(batch())[0]
    assert found.is_inference() and torch.equal(found, y)


def test_distributed_data_parallel_of_one_process(tmp_path: Path) -> None:
    layer = layer_of("LSTM", num_layers=2, bidirectional=True)
    layer(batch())[0].square().sum().backward()
    expected = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/peers", rank=0, world_size=1)
    try:
        wrapped = torch.nn.parallel.DistributedDataParallel(layer)
        wrapped(batch())[0].square().sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    for p, g in zip(layer.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, g)


@pytest.mark.parametrize("kind", [*KINDS, "Jordan"])
@pytest.mark.parametrize("backend", ["auto", "composed"])
def test_under_autocast_a_layer_computes_in_its_own_type(kind: str, backend: str) -> None:
    sizes = (I, H, 2) if kind == "Jordan" else (I, H)
    layer = getattr(nn, kind)(*sizes, backend=backend)
    x = batch().float()
    half = x.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)[0]
        y.sum().backward()
        from_half = layer(half)[0]
    assert y.dtype == torch.float32 and torch.equal(y, layer(x)[0])
    assert torch.equal(from_half, layer(half.float())[0])
    assert layer.weight_hh_l0.grad.dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_none_is_torchs(kind: str) -> None:
    ours, theirs = layer_of(kind), layer_of(kind, torch.nn)
    x = torch.zeros(T, 0, I, dtype=torch.float64)
    y, last = ours(x)
    expected, end = theirs(x)
    assert y.shape == expected.shape
    assert (last[1] if kind == "LSTM" else last).shape == (end[1] if kind == "LSTM" else end).shape
    (y.sum() + sum(p.sum() for p in ours.parameters())).backward()


def test_keyword_arguments_are_torchs() -> None:
    x, h0 = batch(), torch.zeros(1, B, H, dtype=torch.float64)
    assert torch.equal(layer_of("GRU")(input=x, hx=h0)[0], layer_of("GRU")(x)[0])
