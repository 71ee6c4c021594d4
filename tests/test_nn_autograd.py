"""How the layers live in autograd: what is kept, when, and what must not share memory."""

from typing import Any

import pytest
import torch

from backtime import UsageError, kernels, nn
from backtime.reference.weights import Array

KINDS = ["RNN", "GRU", "LSTM"]


def layer_and_input(kind: str, **arguments: Any) -> tuple[Any, torch.Tensor]:
    torch.manual_seed(0)
    return getattr(nn, kind)(4, 6, dtype=torch.float64, **arguments), torch.randn(
        5, 3, 4, dtype=torch.float64
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool] | tuple[str, bool, bool]]:
    """What the layers ask of the kernels: ("forward", save) and ("backward", need_dx, need_dstate)."""
    seen: list[tuple[str, bool] | tuple[str, bool, bool]] = []
    forward, backward = kernels.forward, kernels.backward

    def spy_forward(*args: Any, save: bool = True, **options: Any) -> Any:
        seen.append(("forward", save))
        return forward(*args, save=save, **options)

    def spy_backward(*args: Any, need_dx: bool = True, need_dstate: bool = True) -> Any:
        seen.append(("backward", need_dx, need_dstate))
        return backward(*args, need_dx=need_dx, need_dstate=need_dstate)

    monkeypatch.setattr(kernels, "forward", spy_forward)
    monkeypatch.setattr(kernels, "backward", spy_backward)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_needed_is_computed(kind: str, calls: list[Any]) -> None:
    layer, x = layer_and_input(kind)
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
    assert y.grad_fn.tape is None
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_derivative_is_refused_and_never_wrong(kind: str) -> None:
    layer, x = layer_and_input(kind)
    x.requires_grad_()
    (dx,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
    first = torch.autograd.grad(layer(x)[0].sum(), x)[0]
    assert torch.equal(dx, first)
    with pytest.raises(UsageError, match="second derivative"):
        dx.square().sum().backward()


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


def rejected() -> dict[str, Any]:
    rnn, lstm = nn.RNN(4, 6), nn.LSTM(4, 6, batch_first=True)
    x = torch.zeros(5, 3, 4)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 4, 3]))
    return {
        r"x has shape \(5, 3, 7\); expected \(T, B, I\) with I = input_size = 4": lambda: rnn(
            torch.zeros(5, 3, 7)
        ),
        r"x has shape \(5,\); expected \(B, T, I\) or \(T, I\)": lambda: lstm(torch.zeros(5)),
        r"x has shape \(0, 3, 4\); expected no empty axis": lambda: rnn(torch.zeros(0, 3, 4)),
        "x is torch.float64; expected torch.float32": lambda: rnn(x.double()),
        "x is a list; expected a tensor": lambda: rnn([1.0]),
        "x is a PackedSequence.*not there yet": lambda: rnn(packed),
        "x has values from 0 to 4; expected 0 to": lambda: rnn(torch.arange(5)[:, None]),
        "x has values from -1 to -1; expected 0 to": lambda: rnn(torch.full((2, 2), -1)),
        r"h0 has shape \(3, 6\); expected \(L, B, H\) = \(1, 3, 6\)": lambda: rnn(x, torch.zeros(3, 6)),
        r"h0 has shape \(1, 3, 6\); expected \(L, H\) = \(1, 6\)": lambda: rnn(x[:, 0], torch.zeros(1, 3, 6)),
        "h0 is torch.int64": lambda: rnn(x, torch.zeros(1, 3, 6, dtype=torch.int64)),
        r"c0 has shape \(1, 3, 5\)": lambda: lstm(x, (torch.zeros(1, 5, 6), torch.zeros(1, 3, 5))),
        r"state is a Tensor; expected the pair \(h0, c0\)": lambda: lstm(x, torch.zeros(1, 5, 6)),
        "weights are torch.bfloat16": lambda: nn.RNN(4, 6).bfloat16()(x),
        "x is on meta": lambda: rnn(x.to("meta")),
        "hidden_size is 0; expected a whole number from 1": lambda: nn.GRU(4, 0),
        "num_layers is 1.5": lambda: nn.GRU(4, 6, 1.5),  # type: ignore[arg-type]
        r"dropout is 2; expected a number in \[0, 1\]": lambda: nn.GRU(4, 6, dropout=2),
        "bidirectional is not there yet": lambda: nn.GRU(4, 6, bidirectional=True),
        "proj_size is not there yet": lambda: nn.LSTM(4, 6, proj_size=2),
        "nonlinearity is 'cos'; expected one of tanh, relu": lambda: nn.RNN(4, 6, nonlinearity="cos"),
        "dtype is torch.float16": lambda: nn.RNN(4, 6, dtype=torch.float16),
        "device is 'cuda'; only the CPU": lambda: nn.RNN(4, 6, device="cuda"),
    }


@pytest.mark.parametrize("message", rejected())
def test_bad_input_is_refused_in_one_line(message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        rejected()[message]()
    assert "\n" not in str(caught.value)


def test_repr_tells_the_options() -> None:
    assert repr(nn.GRU(4, 6, 2, dropout=0.5)) == "GRU(4, 6, num_layers=2, dropout=0.5, reset_after=True)"


def test_arrays_are_views_of_the_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = layer_and_input("LSTM")
    places: list[int] = []
    forward = kernels.forward

    def spy(cell: str, x: Array, state: Any, weights: Any, **options: Any) -> Any:
        places.extend(a.ctypes.data for a in (x, *weights[:4]))
        return forward(cell, x, state, weights, **options)

    monkeypatch.setattr(kernels, "forward", spy)
    layer(x)
    assert places == [t.data_ptr() for t in (x, *layer.parameters())]
