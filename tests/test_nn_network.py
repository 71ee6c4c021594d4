"""One call of the engine for all layers: the bits of one layer and direction at a time, and refusals."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from backtime import UsageError, kernels, nn
from backtime.nn import backends
from backtime.nn.backends import engine, layers
from test_nn_face import LAYERS, B, H, I, T, batch, twins

pytestmark = pytest.mark.skipif(not kernels.available(), reason="it is the engine that is asked")
LENGTHS = [3, 0, 5]
ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"num_layers": 4},
    {"num_layers": 2, "batch_first": True},
    {"num_layers": 2, "dropout": 0.5},
    {"num_layers": 2, "bidirectional": True, "bias": False, "dropout": 0.5},
    {"num_layers": 2, "bidirectional": True, "merge": "sum", "dropout": 0.25},
    {"num_layers": 2, "layer_norm": True, "zoneout": 0.2, "recurrent_dropout": 0.2},
]
FORMS = ["dense", "single", "lengths", "packed", "sorted", "integers", "strided"]


def layer_of(kind: str, arguments: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    return getattr(nn, kind)(I, H, dtype=torch.float64, **arguments)


def call_of(layer: Any, form: str) -> tuple[Any, dict[str, Any], Tensor | None]:
    """The input, keyword arguments, and the tensor that the gradient is asked of."""
    x = batch("LSTM")
    if form == "integers":
        tokens = torch.randint(0, I, (T, B), generator=torch.Generator().manual_seed(2), dtype=torch.int32)
        return (tokens.t() if layer.batch_first else tokens), {"lengths": LENGTHS}, None
    if form == "single":
        single = x[:, 0].contiguous().requires_grad_()
        return single, {}, single
    x = x.transpose(0, 1).contiguous() if layer.batch_first else x
    x = torch.stack([x, x + 1], -1)[..., 0] if form == "strided" else x
    x.requires_grad_()
    given = {"lengths": torch.tensor(LENGTHS)} if form == "lengths" else {}
    if form in ("packed", "sorted"):
        lengths = torch.tensor([3, 1, 5] if form == "packed" else [5, 3, 1])
        packed = pack_padded_sequence(x, lengths, layer.batch_first, enforce_sorted=form == "sorted")
        return packed, {}, x
    return x, given, x


def outcome(layer: Any, form: str, with_state: bool) -> list[Tensor]:
    """y, the last state, and every gradient."""
    x, given, source = call_of(layer, form)
    parts = list(nn.state.zeros(layer, B)) if with_state else []
    parts = [(p[:, 0] if form == "single" else p) + 0.1 for p in parts]
    for p in parts:
        p.requires_grad_()
    outputs = outputs_of(layer, form, x, parts, given)
    with torch.no_grad():  # where nothing is kept, buffers are used again
        for a, b in zip(outputs, outputs_of(layer, form, x, parts, given), strict=True):
            assert torch.equal(a, b)
    total = sum((n + 1) * o.square().sum() for n, o in enumerate(outputs))
    sources = [*([] if source is None else [source]), *parts, *layer.parameters()]
    return [*outputs, *torch.autograd.grad(total, sources)]


def outputs_of(layer: Any, form: str, x: Any, parts: list[Tensor], given: dict[str, Any]) -> list[Tensor]:
    """y, and the last state."""
    pair = isinstance(layer, nn.LSTM)
    torch.manual_seed(5)
    y, last = layer(x, None if not parts else tuple(parts) if pair else parts[0], **given)
    return [y.data if form in ("packed", "sorted") else y, *(last if pair else (last,))]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("with_state", [True, False])
def test_all_layers_at_once_have_the_bits_of_one_at_a_time(
    kind: str, arguments: dict[str, Any], form: str, with_state: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_of(kind, arguments)
    at_once = outcome(layer, form, with_state)

    def one_at_a_time(network: Any, x: Any, state: Any, weights: Any) -> Any:
        return layers.run(network, x, state, weights, engine.run_direction)

    monkeypatch.setattr(backends, "engine", SimpleNamespace(run=one_at_a_time, REFUSALS=engine.REFUSALS))
    for n, (a, b) in enumerate(zip(at_once, outcome(layer, form, with_state), strict=True)):
        # autograd adds the two directions' gradients of their input in the order in which they come
        exact = n < 2 or not arguments.get("bidirectional")
        assert a.shape == b.shape
        assert torch.equal(a, b) if exact else torch.allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_weight_that_is_not_contiguous_is_read_as_it_is(kind: str) -> None:
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
def test_a_second_layer_that_does_not_fit_is_refused_by_name(spoil: Any) -> None:
    module = twins("LSTM", num_layers=2)[0]
    spoil(module)
    with pytest.raises(UsageError, match=r"^(weight_hh|bias_ih)_l1 is torch"):
        module(batch("LSTM"))


def test_a_refused_call_draws_nothing() -> None:
    layer = nn.LSTM(I, H, 2, dropout=0.5, zoneout=0.5)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    with pytest.raises(UsageError, match="input has shape"):
        layer(torch.zeros(T, B, I + 1))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("given", [{}, {"lengths": LENGTHS}])
def test_nothing_of_the_callers_memory_is_held_after_a_call(kind: str, given: Any) -> None:
    layer, x = layer_of(kind, {"batch_first": False, "bidirectional": True}), batch(kind)
    state = nn.state.initial(layer, B)
    parts = state if isinstance(state, tuple) else (state,)
    y, _ = layer(x, state, **given)
    y.sum().backward()
    with torch.no_grad():
        layer(x, state, **given)
    for tensor in (x, *parts, *(p.data for p in layer.parameters())):
        tensor.resize_(1000)  # as sharding frees and takes memory


def test_a_cell_and_a_head_hold_nothing_either() -> None:
    cell, head = nn.GRUCell(I, H), nn.SoftmaxCrossEntropy(H, 7)
    x, targets = torch.randn(B, I), torch.randint(0, 7, (B,))
    h = cell(x)
    head(h, targets).backward()
    for tensor in (x, targets, *(p.data for p in (*cell.parameters(), *head.parameters()))):
        tensor.resize_(1000)
