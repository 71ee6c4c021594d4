"""Networks built to be ill, each in one way, and healthy ones; every builder takes a seed."""

from typing import Any

import torch
from torch import Tensor

from backtime import nn

H, I = 32, 8


def orthogonal(scale: float) -> Tensor:
    return scale * torch.linalg.qr(torch.randn(H, H)).Q


def rnn(Wh: Tensor, activation: str = "tanh", inputs: float = 0.1, bias: Tensor | None = None) -> Any:
    layer = nn.RNN(I, H, nonlinearity=activation)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(Wh)
        layer.weight_ih_l0.normal_(0, inputs / I**0.5)
        layer.bias_ih_l0.zero_()
        layer.bias_hh_l0.zero_() if bias is None else layer.bias_hh_l0.copy_(bias)
    return layer


def lstm(forget: float, scale: float = 1.0) -> Any:
    layer = nn.LSTM(I, H, forget_bias=forget)
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0"):
            getattr(layer, name).mul_(scale)
    return layer


def dead_relu() -> Any:
    """A third of the units lie far below zero; the others pass on what they are given."""
    bias = torch.zeros(H)
    bias[: H // 3] = -50.0
    return rnn(torch.eye(H), "relu", 0.05, bias)


def make(name: str, seed: int) -> Any:
    torch.manual_seed(seed)
    return BUILDERS[name]()


BUILDERS: dict[str, Any] = {
    "contractive rnn": lambda: rnn(orthogonal(0.4)),
    "expanding rnn": lambda: rnn(orthogonal(1.25), "identity"),
    "saturated lstm": lambda: lstm(0.0, 60.0),
    "forget bias -5": lambda: lstm(-5.0),
    "healthy lstm": lambda: lstm(2.5),
    "default lstm": lambda: lstm(1.0),
    "orthogonal rnn": lambda: rnn(orthogonal(1.0), inputs=0.02),
    "dead relu units": dead_relu,
    "short truncation": lambda: lstm(5.0),
}


def batch(seed: int, T: int = 128, B: int = 8) -> Tensor:
    return torch.randn(T, B, I, generator=torch.Generator().manual_seed(1000 + seed))
