"""Many gradients at once, and one for each sample: batches of upstream gradients, hooks, expanded weights."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call, grad, vmap
from torch.nn.utils._per_sample_grad import call_for_per_sample_grads
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from backtime import UsageError, nn
from test_nn_face import CELLS, LAYERS, B, I, T, batch, first, twins

FORMS: list[dict[str, Any]] = [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}]


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own, in its jvp
def test_a_jacobian_all_at_once_is_that_row_by_row(kind: str, strategy: str) -> None:
    module, x = twins(kind)[0], batch(kind)[:2]
    by_row = jacobian(lambda v: first(module(v)), x)
    at_once = jacobian(lambda v: first(module(v)), x, vectorize=True, strategy=strategy)
    torch.testing.assert_close(at_once, by_row, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("arguments", FORMS)
@pytest.mark.parametrize("given", [{}, {"lengths": [2, 0, 5]}])
def test_a_batch_of_upstream_gradients(kind: str, arguments: dict[str, Any], given: Any) -> None:
    layer, x = twins(kind, **arguments)[0], batch(kind).requires_grad_()
    y, last = layer(x, **given)
    outputs = [y, *(last if kind == "LSTM" else (last,))]
    upstream = [torch.randn(4, *o.shape, dtype=o.dtype) for o in outputs]
    sources = [x, *layer.parameters()]
    found = torch.autograd.grad(outputs, sources, upstream, is_grads_batched=True, retain_graph=True)
    for n in range(4):
        one = torch.autograd.grad(outputs, sources, [u[n] for u in upstream], retain_graph=True)
        for a, b in zip(found, one, strict=True):
            torch.testing.assert_close(a[n], b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
def test_a_hessian_all_at_once(kind: str) -> None:
    module, x = twins(kind)[0], batch(kind)[:1]

    def loss(v: Tensor) -> Tensor:
        return first(module(v)).square().sum()

    torch.testing.assert_close(hessian(loss, x, vectorize=True), hessian(loss, x), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", LAYERS)
def test_per_sample_gradients_by_hooks(kind: str) -> None:
    """As libraries of differential privacy do it: what went in and came back, then vmap over the samples."""
    layer, seen = twins(kind, num_layers=2, batch_first=True)[0], {}
    layer.register_forward_hook(lambda module, args, out: seen.update(x=args[0].detach()))
    layer.register_full_backward_hook(lambda module, dx, dy: seen.update(dy=dy[0]))
    x = torch.randn(B, T, I, dtype=torch.float64, requires_grad=True)
    layer(x)[0].square().sum().backward()

    def loss(weights: dict[str, Tensor], x: Tensor, dy: Tensor) -> Tensor:
        return (functional_call(layer, weights, (x[None],))[0] * dy[None]).sum()

    weights = {name: p.detach() for name, p in layer.named_parameters()}
    for handle in (layer._forward_hooks, layer._backward_hooks):
        handle.clear()
    each = vmap(grad(loss), (None, 0, 0))(weights, seen["x"], seen["dy"])
    for name, p in layer.named_parameters():
        assert each[name].shape == (B, *p.shape)
        torch.testing.assert_close(each[name].sum(0), p.grad, rtol=1e-9, atol=1e-11)


# Weights that PyTorch expands: every gradient of each sample, in one backward pass.


class Outputs(torch.nn.Module):
    """The outputs of a layer, whatever form its input has."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any, *state: Any) -> Tensor:
        y = self.layer(x, *state)[0]
        return y.data if isinstance(y, PackedSequence) else y


def expanded(model: Any, samples: int, *call: Any) -> dict[str, Tensor | None]:
    """Gradients of each sample; of a frozen weight None."""
    result = call_for_per_sample_grads(model, batch_size=samples, batch_first=True)(*call)
    result.square().sum().backward()
    return {name: getattr(p, "grad_sample", None) for name, p in model.named_parameters()}


def one_by_one(model: Any, calls: list[Any]) -> dict[str, Tensor]:
    rows = []
    for call in calls:
        model.zero_grad()
        model(*call).square().sum().backward()
        rows.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def assert_each(found: dict[str, Tensor | None], wanted: dict[str, Tensor], atol: float = 1e-11) -> None:
    assert {name for name, each in found.items() if each is not None} == set(wanted)
    for name, each in wanted.items():
        torch.testing.assert_close(found[name], each, rtol=1e-9 if atol < 1e-9 else 1e-4, atol=atol)


EXPANDED: list[dict[str, Any]] = [
    *FORMS,
    {"batch_first": True},
    {"dtype": torch.float32},
    {"backend": "composed"},
]


@pytest.mark.parametrize("arguments", EXPANDED)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_expanded_weights_give_the_gradients_of_each_sample(kind: str, arguments: dict[str, Any]) -> None:
    arguments = {"dtype": torch.float64} | arguments
    model = Outputs(getattr(nn, kind)(I, 6, **arguments))
    x = torch.randn(B, T, I, dtype=arguments["dtype"])
    of = (lambda x: x) if "batch_first" in arguments else (lambda x: x.transpose(0, 1))
    wanted = one_by_one(model, [(of(row[None]),) for row in x])
    found = expanded(model, B, of(x))
    assert_each(found, wanted, 1e-11 if arguments["dtype"] == torch.float64 else 1e-5)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_expanded_weights_with_a_state_with_packed_rows_and_with_lengths(kind: str) -> None:
    model, x = (
        Outputs(getattr(nn, kind)(I, 6, dtype=torch.float64)),
        torch.randn(T, 3, I, dtype=torch.float64),
    )
    h = torch.randn(1, 3, 6, dtype=torch.float64)

    def state(part: Tensor) -> Any:
        return (part, part / 2) if kind == "LSTM" else part

    wanted = one_by_one(model, [(x[:, n : n + 1], state(h[:, n : n + 1])) for n in range(3)])
    assert_each(expanded(model, 3, x, state(h)), wanted)
    for p in model.parameters():
        del p.grad_sample
    lengths = [T, 2, 1]
    wanted = one_by_one(model, [(x[:length, n : n + 1],) for n, length in enumerate(lengths)])
    assert_each(expanded(model, 3, pack_padded_sequence(x, lengths)), wanted)
    for p in model.parameters():
        del p.grad_sample
    assert_each(expanded(model, 3, x, None, lengths), wanted)


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_hh_l0"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_frozen_weight_has_none_and_the_others_theirs(kind: str, name: str) -> None:
    model = Outputs(getattr(nn, kind)(I, 6, dtype=torch.float64))
    getattr(model.layer, name).requires_grad_(False)
    x = torch.randn(T, B, I, dtype=torch.float64)
    wanted = one_by_one(model, [(x[:, n : n + 1],) for n in range(B)])
    found = expanded(model, B, x)
    assert found[f"layer.{name}"] is None
    assert_each(found, wanted)


def test_dropout_falls_where_torchs_falls() -> None:
    theirs, ours = (Outputs(make(I, 6, 2, dropout=0.5)) for make in (torch.nn.GRU, nn.GRU))
    ours.load_state_dict(theirs.state_dict())
    x, results = torch.randn(T, B, I), []
    for model in (theirs, ours):
        torch.manual_seed(3)
        results.append(expanded(model, B, x))
    assert_each(results[1], {name: each for name, each in results[0].items() if each is not None}, 1e-6)


REFUSED: dict[str, dict[str, Any]] = {
    "peephole": {"peephole": True},
    "layer_norm": {"layer_norm": True},
    "merge": {"merge": "sum", "bidirectional": True},
    "learned_state": {"learned_state": True},
    "zoneout": {"zoneout": 0.1},
    "variational_dropout": {"variational_dropout": True, "num_layers": 2, "dropout": 0.5},
}


@pytest.mark.parametrize("option", REFUSED)
def test_expanded_weights_of_options_are_refused_in_words(option: str) -> None:
    model = Outputs(nn.LSTM(I, 6, **REFUSED[option]))
    with pytest.raises(UsageError, match=r"^Expanded Weights.*options that torch.nn has not.*vmap\(grad"):
        call_for_per_sample_grads(model, batch_size=B)(torch.randn(T, B, I))


@pytest.mark.parametrize("kind", CELLS)
def test_expanded_weights_of_cells_are_refused_in_words(kind: str) -> None:
    module, x = getattr(nn, kind)(I, 6), batch(kind).float()
    with pytest.raises(UsageError, match=r"^Expanded Weights encountered.*a cell.*vmap\(grad"):
        call_for_per_sample_grads(module, batch_size=len(x))(x)


def test_gradients_that_are_left_out_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.backends.expanded, "among", lambda weights: False)
    with pytest.raises((AssertionError, RuntimeError)):
        test_expanded_weights_give_the_gradients_of_each_sample("GRU", {})
