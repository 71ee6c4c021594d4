"""Output layer and loss in one, against Linear and cross_entropy."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from backtime import UsageError, nn

R, H, V = 7, 4, 5


def head_and_rows(bias: bool = True) -> tuple[nn.SoftmaxCrossEntropy, Tensor, Tensor]:
    torch.manual_seed(0)
    head = nn.SoftmaxCrossEntropy(H, V, bias=bias, dtype=torch.float64)
    h = torch.randn(R, H, dtype=torch.float64, requires_grad=True)
    return head, h, torch.randint(0, V, (R,))


@pytest.mark.parametrize("bias", [True, False])
def test_born_as_linear_is(bias: bool) -> None:
    torch.manual_seed(3)
    ours = nn.SoftmaxCrossEntropy(H, V, bias=bias).state_dict()
    torch.manual_seed(3)
    theirs = torch.nn.Linear(H, V, bias=bias).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("factor", [1.0, -0.3])
def test_loss_and_gradients_are_those_of_torch(bias: bool, factor: float) -> None:
    head, h, targets = head_and_rows(bias)
    sources = [h, *head.parameters()]
    ours = head(h, targets)
    theirs = functional.cross_entropy(head.logits(h), targets)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)
    for g, expected in zip(
        torch.autograd.grad(factor * ours, sources),
        torch.autograd.grad(factor * theirs, sources),
        strict=True,
    ):
        torch.testing.assert_close(g, expected, rtol=1e-11, atol=1e-13)


def test_gradcheck() -> None:
    head, h, targets = head_and_rows()

    def loss(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(head, {"weight": weight, "bias": bias}, (h, targets))

    assert torch.autograd.gradcheck(loss, (h, head.weight, head.bias), fast_mode=True)


def test_axes_before_the_last_are_rows() -> None:
    head, h, targets = head_and_rows()
    assert torch.equal(head(h.view(R, 1, H), targets.view(R, 1)), head(h, targets))
    assert torch.equal(head(h[0], targets[0]), head(h[:1], targets[:1]))
    assert torch.equal(head(h, targets.int()), head(h, targets))


def test_without_gradient_nothing_is_kept() -> None:
    head, h, targets = head_and_rows()
    with torch.no_grad():
        loss = head(h, targets)
    assert loss.grad_fn is None
    assert torch.equal(loss, head(h, targets))


def test_gradients_go_out_once_and_a_retained_graph_still_works() -> None:
    head, h, targets = head_and_rows()
    loss = head(h, targets)
    loss.backward(retain_graph=True)
    once = [p.grad.clone() for p in head.parameters()]
    loss.backward(retain_graph=True)
    loss.backward()
    for p, g in zip(head.parameters(), once, strict=True):
        torch.testing.assert_close(p.grad, 3 * g)


@pytest.mark.parametrize("bias", [True, False])
def test_second_derivatives(bias: bool) -> None:
    head, h, targets = head_and_rows(bias)

    def loss(h: Tensor, *weights: Tensor) -> Tensor:
        names = [name for name, _ in head.named_parameters()]
        return torch.func.functional_call(head, dict(zip(names, weights, strict=True)), (h, targets))

    assert torch.autograd.gradgradcheck(loss, (h, *head.parameters()))


def test_per_sample_gradients_by_torch_func() -> None:
    head, h, targets = head_and_rows()
    weights = dict(head.named_parameters())

    def loss(weights: dict[str, Tensor], h: Tensor, target: Tensor) -> Tensor:
        return torch.func.functional_call(head, weights, (h[None], target[None]))

    found = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(weights, h.detach(), targets)
    for n in range(R):
        head.zero_grad()
        head(h[n : n + 1], targets[n : n + 1]).backward()
        torch.testing.assert_close(found["weight"][n], head.weight.grad)


def rejected() -> dict[str, Any]:
    head, h, targets = head_and_rows()
    return {
        r"h is torch.float64 of shape \(7, 3\); expected floats": lambda: head(h[:, :3], targets),
        "h is torch.float32; expected torch.float64": lambda: head(h.float(), targets),
        r"targets has shape \(6,\); expected \(7,\)": lambda: head(h, targets[:6]),
        "targets is torch.float64; expected integers": lambda: head(h, targets.double()),
        r"targets has values from . to 5; expected 0 to": lambda: head(
            h, targets.index_fill(0, torch.tensor([2]), 5)
        ),
        "at least one row": lambda: head(h[:0], targets[:0]),
        "vocabulary_size is -1": lambda: nn.SoftmaxCrossEntropy(H, -1),
    }


@pytest.mark.parametrize("message", rejected())
def test_bad_input_is_refused(message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rejected()[message]()
