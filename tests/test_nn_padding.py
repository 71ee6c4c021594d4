"""Padding never changes an answer: to the bit, in every cell, forward and backward, alone and in company."""

from typing import Any

import pytest
import torch
from torch import Tensor

from backtime import nn
from backtime.nn import layouts

KINDS = ["RNN", "GRU", "LSTM", "Jordan"]
T, I = 12, 10
LENGTHS = [12, 0, 5, 7, 1, 12, 3, 8, 2]
B = len(LENGTHS)


def layer_of(kind: str, dtype: torch.dtype, H: int = 33, **arguments: Any) -> Any:
    torch.manual_seed(0)
    sizes = (I, H, H // 2) if kind == "Jordan" else (I, H)
    return getattr(nn, kind)(*sizes, dtype=dtype, num_layers=2, bidirectional=True, **arguments)


def inputs(layer: Any, fill: float) -> tuple[Tensor, Tensor]:
    """x and the gradient of y, both ``fill`` beyond the lengths."""
    g = torch.Generator().manual_seed(1)
    like = layer.weight_ih_l0
    width = 2 * layer.weight_hh_l0.shape[1]
    x, dy = (torch.randn(T, B, n, generator=g).to(like.dtype) for n in (I, width))
    outside = torch.arange(T)[:, None] >= torch.tensor(LENGTHS)
    x[outside], dy[outside] = fill, fill
    return x.requires_grad_(), dy


def parts(last: Any) -> list[Tensor]:
    return list(last) if isinstance(last, tuple) else [last]


def outcome(layer: Any, x: Tensor, dy: Tensor, **call: Any) -> list[Tensor]:
    """y, the last state, dx and the gradient of every weight."""
    y, last = layer(x, **call)
    outputs = [y, *parts(last)]
    upstream = [dy, *map(torch.ones_like, parts(last))]
    return [*outputs, *torch.autograd.grad(outputs, [x, *layer.parameters()], upstream)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fill", [float("nan"), float("inf"), 1e30])
def test_what_lies_beyond_a_length_changes_nothing(kind: str, dtype: torch.dtype, fill: float) -> None:
    layer = layer_of(kind, dtype)
    found, expected = (outcome(layer, *inputs(layer, f), lengths=LENGTHS) for f in (fill, 0.0))
    for n, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert torch.equal(a, b), n
    outside = torch.arange(T)[:, None] >= torch.tensor(LENGTHS)
    dx = found[1 + (2 if kind == "LSTM" else 1)]
    assert not found[0][outside].any() and not dx[outside].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("H", [6, 64])
def test_a_sequence_in_the_batch_is_the_sequence_alone(kind: str, dtype: torch.dtype, H: int) -> None:
    layer = layer_of(kind, dtype, H)
    x, dy = inputs(layer, float("nan"))
    y, *rest = outcome(layer, x, dy, lengths=LENGTHS)
    n_last = 2 if kind == "LSTM" else 1
    last, dx = rest[:n_last], rest[n_last]
    for b, length in enumerate(LENGTHS):
        if length:
            own = x.detach()[:length, b : b + 1].requires_grad_()
            y1, *rest1 = outcome(layer, own, dy[:length, b : b + 1])
            assert torch.equal(y1[:, 0], y[:length, b])
            assert all(torch.equal(p[:, 0], q[:, b]) for p, q in zip(rest1[:n_last], last, strict=True))
            assert torch.equal(rest1[n_last][:, 0], dx[:length, b])


@pytest.mark.parametrize("kind", KINDS)
def test_last_is_at_each_end_of_both_directions(kind: str) -> None:
    layer = layer_of(kind, torch.float64)
    x, _ = inputs(layer, float("nan"))
    y, last = layer(x, lengths=LENGTHS)
    h, P = parts(last)[0], layer.weight_hh_l0.shape[1]
    for b, length in enumerate(LENGTHS):
        forward, reverse = (y[length - 1, b, :P], y[0, b, P:]) if length else (torch.zeros(P).double(),) * 2
        assert torch.equal(h[-2, b], forward) and torch.equal(h[-1, b], reverse)


def test_tensors_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    # no sorting by the caller, no PackedSequence between: x is read, not written, and y comes in its order
    layer = layer_of("GRU", torch.float64)
    x, _ = inputs(layer, 7.0)
    before, place = x.detach().clone(), x.data_ptr()
    monkeypatch.setattr(layouts.Packed, "__init__", lambda *_: pytest.fail("a packed sequence was made"))
    y, h = layer(x, lengths=LENGTHS)
    assert torch.equal(x, before) and x.data_ptr() == place
    order = torch.randperm(B, generator=torch.Generator().manual_seed(0))
    y2, h2 = layer(x[:, order], lengths=torch.tensor(LENGTHS)[order])
    assert torch.equal(y2, y[:, order]) and torch.equal(h2, h[:, order])


@pytest.mark.filterwarnings("ignore::backtime.nn.NaNWarning")  # which is right
def test_a_length_too_long_by_one_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = layouts.lengths_of
    monkeypatch.setattr(layouts, "lengths_of", lambda given: [min(n + 1, T) for n in right(given)])
    with pytest.raises(AssertionError):
        test_what_lies_beyond_a_length_changes_nothing("GRU", torch.float64, float("nan"))
    with pytest.raises(AssertionError):
        test_a_sequence_in_the_batch_is_the_sequence_alone("GRU", torch.float64, 6)
