"""The short way, which the commonest calls go: the bits of the general one, and refusals."""

from typing import Any

import pytest
import torch
from torch import Tensor

from backtime import UsageError, nn
from backtime.nn import entry, layer
from test_nn_face import LAYERS, batch, twins

COMMON: list[dict[str, Any]] = [{}, {"num_layers": 3}, {"num_layers": 2, "batch_first": True}]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("arguments", [*COMMON, {"num_layers": 2, "dropout": 0.5}])
@pytest.mark.parametrize("with_state", [True, False])
def test_the_short_way_gives_the_bits_of_the_general_one(
    kind: str, arguments: dict[str, Any], with_state: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outcome() -> list[Tensor]:
        module, x = twins(kind, **arguments)[0], batch(kind)
        rows = x.shape[0] if module.batch_first else x.shape[1]
        parts = [p + 0.1 for p in nn.state.zeros(module, rows)] if with_state else []
        for p in [x, *parts]:
            p.requires_grad_()
        state = None if not parts else tuple(parts) if kind == "LSTM" else parts[0]
        torch.manual_seed(5)
        y, last = module(x, state)
        outputs = [y, *(last if kind == "LSTM" else (last,))]
        total = sum((n + 1) * o.square().sum() for n, o in enumerate(outputs))
        return [*outputs, *torch.autograd.grad(total, [x, *parts, *module.parameters()])]

    with monkeypatch.context() as patch:
        patch.setattr(entry, "enter", lambda *_: pytest.fail("the general way was gone"))
        short = outcome()
    monkeypatch.setattr(layer.short, "run", lambda *_: None)
    for a, b in zip(short, outcome(), strict=True):
        assert torch.equal(a, b) and a.shape == b.shape


@pytest.mark.parametrize("kind", LAYERS)
def test_a_weight_that_is_not_contiguous_draws_no_further_dropout(kind: str) -> None:
    """Were the second layer refused half-way, the general way would draw the masks of the first once more."""
    module, x = twins(kind, num_layers=2, dropout=0.5)[0], batch(kind)
    outputs = []
    for _ in range(2):
        torch.manual_seed(5)
        outputs.append(module(x)[0])
        module.weight_hh_l1.data = module.weight_hh_l1.data.t().contiguous().t()
    assert not module.weight_hh_l1.is_contiguous() and torch.equal(*outputs)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: setattr(m.weight_hh_l1, "data", m.weight_hh_l1.data.bfloat16()),
        lambda m: setattr(m.weight_hh_l1, "data", m.weight_hh_l1.data[:, :-1]),
        lambda m: setattr(m.bias_ih_l1, "data", m.bias_ih_l1.data.float()),
    ],
)
def test_a_second_layer_that_does_not_fit_is_refused(spoil: Any) -> None:
    module = twins("LSTM", num_layers=2)[0]
    spoil(module)
    with pytest.raises((UsageError, TypeError)):
        module(batch("LSTM"))
