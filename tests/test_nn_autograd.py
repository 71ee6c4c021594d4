"""How the layers live in autograd: what is kept, when, and what must not share memory."""

from typing import Any

import pytest
import torch

from backtime import nn
from backtime.nn.backends import engine, memory

KINDS = ["RNN", "GRU", "LSTM"]


def layer_and_input(kind: str, **arguments: Any) -> tuple[Any, torch.Tensor]:
    torch.manual_seed(0)
    return getattr(nn, kind)(4, 6, dtype=torch.float64, **arguments), torch.randn(
        5, 3, 4, dtype=torch.float64
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the layers ask of the engine: ("forward", save) and ("backward", need_dx, need_dstate)."""
    pytest.importorskip("backtime._engine")
    seen: list[tuple[Any, ...]] = []
    forward, backward = engine.forward, engine.backward

    def spy_forward(*args: Any) -> Any:
        seen.append(("forward", args[-1]))
        return forward(*args)

    def spy_backward(*args: Any) -> Any:
        found = backward(*args)
        dx, dh0, *_ = found
        seen.append(("backward", dx is not None, dh0 is not None))
        return found

    monkeypatch.setattr(engine, "forward", spy_forward)
    monkeypatch.setattr(engine, "backward", spy_backward)
    return seen


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_only_what_is_needed_is_computed(kind: str, bias: bool, calls: list[Any]) -> None:
    layer, x = layer_and_input(kind, bias=bias)
    h0 = torch.zeros(1, x.shape[1], layer.hidden_size, dtype=x.dtype, requires_grad=True)
    with torch.no_grad():
        assert layer(x)[0].grad_fn is None
    layer(x)[0].sum().backward()
    layer(x.clone().requires_grad_())[0].sum().backward()
    layer(x, (h0, h0) if kind == "LSTM" else h0)[0].sum().backward()
    assert h0.grad is not None
    layer.requires_grad_(False)
    assert not layer(x)[0].requires_grad
    kept = ("forward", True)
    weights, with_x, with_h0 = ((kept, ("backward", *need)) for need in ((0, 0), (1, 0), (0, 1)))
    assert calls == [("forward", False), *weights, *with_x, *with_h0, ("forward", False)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_parameter_gets_no_gradient(kind: str) -> None:
    layer, x = layer_and_input(kind)
    layer.weight_hh_l0.requires_grad_(False)
    layer(x)[0].sum().backward()
    assert layer.weight_hh_l0.grad is None
    assert layer.weight_ih_l0.grad is not None


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_last_state_alone(kind: str) -> None:
    layer, x = layer_and_input(kind)
    last = layer(x)[1]
    (last[1] if kind == "LSTM" else last).sum().backward()
    ours = layer.weight_hh_l0.grad.clone()
    theirs = getattr(torch.nn, kind)(4, 6, dtype=torch.float64)
    theirs.load_state_dict(layer.state_dict())
    last = theirs(x)[1]
    (last[1] if kind == "LSTM" else last).sum().backward()
    torch.testing.assert_close(ours, theirs.weight_hh_l0.grad, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_have_memory_of_their_own(kind: str) -> None:
    layer, x = layer_and_input(kind)
    y, last = layer(x)
    y.sum().backward()
    bias = layer.bias_hh_l0.grad.clone()
    layer.bias_ih_l0.grad.zero_()
    assert torch.equal(layer.bias_hh_l0.grad, bias)
    h = last[0] if kind == "LSTM" else last
    h.detach().zero_()
    assert y[-1].abs().max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_tape_goes_with_the_backward_pass_and_a_retained_graph_still_works(kind: str) -> None:
    layer, x = layer_and_input(kind)
    y, _ = layer(x)
    loss = y.square().sum()
    loss.backward(retain_graph=True)
    assert y.grad_fn.saved is None
    once = {name: p.grad.clone() for name, p in layer.named_parameters()}
    loss.backward(retain_graph=True)
    loss.backward()
    for name, p in layer.named_parameters():
        torch.testing.assert_close(p.grad, 3 * once[name])
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


@pytest.mark.parametrize("what", ["y", "weight", "x"])
def test_a_change_in_place_is_noticed(what: str) -> None:
    layer, x = layer_and_input("LSTM")
    y, _ = layer(x)
    loss = y.square().sum()
    with torch.no_grad():
        {"y": y, "weight": layer.weight_hh_l0, "x": x}[what].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_weight_that_is_no_parameter_gets_its_gradient() -> None:
    layer, x = layer_and_input("LSTM")
    raw = torch.nn.Parameter(layer.weight_hh_l0.detach().clone())
    del layer.weight_hh_l0
    layer.weight_hh_l0 = raw * 0.5  # as weight dropout does it
    layer(x)[0].sum().backward()
    assert raw.grad is not None and raw.grad.abs().max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_carried_over_links_two_pieces(kind: str) -> None:
    layer, x = layer_and_input(kind, num_layers=2)
    whole = layer(x)[0]
    first, state = layer(x[:2])
    second, _ = layer(x[2:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    whole.square().sum().backward()
    expected = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    (first.square().sum() + second.square().sum()).backward()
    for p, g in zip(layer.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, g, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_the_engine_reads_the_memory_of_the_tensors(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("backtime._engine")
    layer, x = layer_and_input("LSTM", bias=bias)
    given: list[int] = []
    right = memory.to_dlpack
    monkeypatch.setattr(memory, "to_dlpack", lambda t: given.append(t.data_ptr()) or right(t))
    layer(x)
    assert sorted(given) == sorted(t.data_ptr() for t in (x, *layer.parameters()))


def test_an_input_that_is_not_contiguous_gives_the_same_bits() -> None:
    layer, x = layer_and_input("LSTM")
    strided = torch.stack([x, x + 1], -1)[..., 0]
    assert not strided.is_contiguous() and torch.equal(layer(strided)[0], layer(x)[0])
    layer(strided)[0].sum().backward()
    once = layer.weight_ih_l0.grad.clone()
    layer.zero_grad()
    with torch.no_grad():
        layer.weight_hh_l0.data = layer.weight_hh_l0.t().contiguous().t()
    layer(x)[0].sum().backward()
    assert torch.equal(layer.weight_ih_l0.grad, once)


def test_a_negation_that_torch_has_put_off_is_made_up_for() -> None:
    layer, x = layer_and_input("LSTM")
    start = torch.randn(1, x.shape[1], 6, dtype=x.dtype)
    later = torch._neg_view(-x), (torch._neg_view(-start), start)
    y = layer(*later)[0]
    assert later[0].is_neg() and torch.equal(y, layer(x, (start, start))[0])
    dy = torch.randn_like(y)
    (found,) = torch.autograd.grad(y, [layer.weight_hh_l0], torch._neg_view(-dy), retain_graph=True)
    assert torch.equal(found, torch.autograd.grad(y, [layer.weight_hh_l0], dy)[0])


def test_a_tensor_without_memory_is_zeros() -> None:
    layer, x = layer_and_input("LSTM")
    nothing = torch._efficientzerotensor(x.shape, dtype=x.dtype)  # as forward-mode differentiation makes them
    assert torch.equal(layer(nothing)[0], layer(torch.zeros_like(x))[0])


def test_repr_tells_what_is_not_usual() -> None:
    theirs = torch.nn.LSTM(
        4, 6, 2, bias=False, batch_first=True, dropout=0.5, bidirectional=True, proj_size=3
    )
    ours = nn.LSTM(4, 6, 2, bias=False, batch_first=True, dropout=0.5, bidirectional=True, proj_size=3)
    assert repr(ours) == repr(theirs)
    assert repr(nn.GRU(4, 6, reset_after=False)) == "GRU(4, 6, reset_after=False)"
    assert repr(nn.RNN(4, 6, nonlinearity="relu", leak=0.5)) == "RNN(4, 6, nonlinearity=relu, leak=0.5)"
    assert repr(nn.RNNCell(4, 6, False, "relu")) == repr(torch.nn.RNNCell(4, 6, False, "relu"))
