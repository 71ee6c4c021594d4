"""What is asked of single steps: every traced gate by its equation, resets backward, masks by a seed."""

from typing import Any

import pytest
import torch
from torch import Tensor

from backtime import nn

pytestmark = pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning")
T, B, I, H, P = 6, 3, 4, 5, 2
KINDS = ["RNN", "GRU", "LSTM", "Jordan"]


def layer_of(kind: str, **arguments: Any) -> Any:
    torch.manual_seed(0)
    sizes = (I, H, P) if kind == "Jordan" else (I, H)
    return getattr(nn, kind)(*sizes, dtype=torch.float64, **arguments)


def batch(seed: int = 1) -> Tensor:
    return torch.randn(T, B, I, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def products(layer: Any, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """``Wx x + bx`` and ``Wh h + bh`` of every step."""
    zx = x @ layer.weight_ih_l0.T + layer.bias_ih_l0
    return zx, before @ layer.weight_hh_l0.T + layer.bias_hh_l0


def equations(kind: str, layer: Any, x: Tensor, before: Tensor) -> dict[str, Tensor]:
    """Every gate from the states before the steps."""
    zx, zh = products(layer, x, before)
    if kind == "LSTM":
        i, f, g, o = (zx + zh).chunk(4, -1)
        return {"i": i.sigmoid(), "f": f.sigmoid(), "g": g.tanh(), "o": o.sigmoid()}
    if kind == "GRU":
        (xr, xz, xn), (hr, hz, hn) = zx.chunk(3, -1), zh.chunk(3, -1)
        r = (xr + hr).sigmoid()
        return {"r": r, "z": (xz + hz).sigmoid(), "n": (xn + r * hn).tanh()}
    return {"z": zx + zh} | ({"h": (zx + zh).tanh()} if kind == "Jordan" else {})


@pytest.mark.parametrize("kind", KINDS)
def test_every_traced_gate_is_its_equation(kind: str) -> None:
    layer, x = layer_of(kind), batch()
    y, _, (step,) = layer(x, trace=True)
    before = torch.cat([torch.zeros_like(y[:1]), y[:-1]])
    expected = equations(kind, layer, x, before)
    assert step.gates.keys() == expected.keys()
    for name, gate in expected.items():
        torch.testing.assert_close(step.gates[name], gate, rtol=1e-12, atol=1e-12, msg=name)
    assert torch.equal(step.h, y)
    torch.testing.assert_close(y, layer(x)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trace_has_gradients(kind: str) -> None:
    layer, x = layer_of(kind), batch().requires_grad_()
    _, _, (step,) = layer(x, trace=True)
    gate = next(iter(step.gates.values()))
    dx, dWh = torch.autograd.grad(gate[-1].square().sum(), [x, layer.weight_hh_l0])
    assert dx[0].any() and dWh.any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", ["native", "composed"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_no_gradient_crosses_a_reset(kind: str, backend: str, bidirectional: bool) -> None:
    if backend == "native" and layer_of(kind).explain().path != "native":
        pytest.skip("there is no engine")
    layer = layer_of(kind, backend=backend, bidirectional=bidirectional)
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[2, 1] = True
    found = []
    for pieces in (False, True):
        x = batch().requires_grad_()
        y = torch.cat([layer(x[:2])[0], layer(x[2:])[0]]) if pieces else layer(x, reset=reset)[0]
        found.append(torch.autograd.grad(y[:, 1].square().sum(), [x, *layer.parameters()]))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    x = batch().requires_grad_()
    y = layer(x, reset=reset)[0]
    (dx,) = torch.autograd.grad(y[2:, 1].sum(), x)
    assert not dx[:2, 1].any() and dx[2:, 1].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arguments", [{"dropout": 0.5, "num_layers": 3}, {"recurrent_dropout": 0.5}])
def test_dropout_is_repeated_by_its_seed_forward_and_backward(kind: str, arguments: Any) -> None:
    found = []
    for seed in (1, 1, 2):
        layer, x = layer_of(kind, **arguments), batch().requires_grad_()
        torch.manual_seed(seed)
        y = layer(x)[0]
        found.append((y, *torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])))
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[1], strict=True))
    assert not torch.equal(found[0][0], found[2][0])
