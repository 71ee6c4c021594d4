"""PyTorch's own fused operation, for plain layers on devices that have one (cuDNN and its like)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from backtime.nn import paths
from backtime.nn.state import zeros
from backtime.nn.tensors import States, Weights

OPERATIONS: dict[tuple[str, str], Any] = {
    ("lstm", "tanh"): torch._VF.lstm,
    ("gru", "tanh"): torch._VF.gru,
    ("rnn", "tanh"): torch._VF.rnn_tanh,
    ("rnn", "relu"): torch._VF.rnn_relu,
}


def fits(layer: Any, frame: Any, like: Tensor, cuts: Tensor | None, trace: bool) -> bool:
    """Whether the call is one that ``torch.nn`` could make itself, away from the CPU."""
    if like.is_cpu or like.is_meta or trace or cuts is not None or paths.transformed(like):
        return False
    sizes = frame.batch_sizes
    if sizes is not None and (not len(sizes) or int(sizes[0]) < frame.B):  # sequences without a step
        return False
    return layer.settings.backend != "composed" and plain(layer)


def plain(layer: Any) -> bool:
    """Whether ``torch.nn`` has every option that the layer uses."""
    settings = layer.settings
    usual = (
        not settings.noisy
        and not settings.weight_dropout
        and not settings.layer_norm
        and not settings.peephole
    )
    known = (layer.cell, settings.kernel.get("activation", "tanh")) in OPERATIONS
    kernel = settings.kernel.get("reset_after", True) and not settings.kernel.get("coupled")
    return bool(usual and known and kernel and (settings.merge == "concat"))


def run(layer: Any, frame: Any, state: States, weights: list[Weights]) -> tuple[Tensor, States]:
    """All layers and directions at once."""
    paths.refuse_or_say(
        f"the weights are on {weights[0].Wx.device.type}", layer.settings.backend, "PyTorch's own operation"
    )
    operation = OPERATIONS[layer.cell, layer.settings.kernel.get("activation", "tanh")]
    flat = [w for own in weights for w in own if w is not None]
    x = frame.x
    if not x.is_floating_point():
        x = functional.one_hot(x.long(), layer.input_size).to(flat[0].dtype)
    start = state or zeros(layer, frame.B)
    hx = start if layer.cell == "lstm" else start[0]
    rest = (flat, layer.bias, layer.num_layers, layer.dropout, layer.training, layer.bidirectional)
    if frame.batch_sizes is None:
        y, *last = operation(x, hx, *rest, False)
    else:
        y, *last = operation(x, frame.batch_sizes, hx, *rest)
    return y, tuple(last)
