"""Many gradients at once, and one for each sample: batches of upstream gradients, hooks, expanded weights."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call, grad, vmap
from torch.nn.utils._per_sample_grad import call_for_per_sample_grads

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


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
def test_expanded_weights_are_refused_in_words(kind: str) -> None:
    module, x = getattr(nn, kind)(I, 6), batch(kind).float()
    with pytest.raises(UsageError, match=r"^Expanded Weights encountered.*vmap\(grad"):
        call_for_per_sample_grads(module, batch_size=len(x))(x)
