"""PyTorch's own fused operation, for plain layers on devices that have one (cuDNN and its like)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from backtime.nn.backends import composed
from backtime.nn.layouts import layout_of
from backtime.nn.types import BOTH, REVERSE, Network, Options, States, Weights

OPERATIONS: dict[tuple[str, str], Any] = {
    ("lstm", "tanh"): torch._VF.lstm,
    ("gru", "tanh"): torch._VF.gru,
    ("rnn", "tanh"): torch._VF.rnn_tanh,
    ("rnn", "relu"): torch._VF.rnn_relu,
}
TORCHS = ("Wx", "Wh", "bx", "bh", "Wy")  # fields that torch.nn has
KNOWN: tuple[Options, ...] = (
    {},
    {"activation": "tanh"},
    {"activation": "relu"},
)  # options of a cell, of which it has these


def has(network: Network) -> bool:
    """Whether ``torch.nn`` has every option that the layers use."""
    plain = set(network.fields) <= set(TORCHS) and not network.sums and network.directions != REVERSE
    each = network.options or ({},)
    return (
        plain
        and all(options in KNOWN for options in each)
        and (network.cell, _activation(network)) in OPERATIONS
    )


def fits(network: Network, x: Tensor, weights: list[Tensor]) -> bool:
    """Whether the call is one that ``torch.nn`` could make itself, away from the CPU."""
    like = weights[0]
    if like.is_cpu or like.is_meta or network.one_step or network.reset is not None or network.masks:
        return False  # masks drawn elsewhere are not its own
    lengths = network.sequences
    full = not isinstance(lengths, list) or 0 not in lengths  # it wants a step of every sequence
    return has(network) and full and x.numel() > 0


def run(network: Network, x: Tensor, state: States | None, weights: list[Tensor]) -> tuple[Tensor, States]:
    """All layers and directions at once."""
    layout = layout_of(network, x)
    rows = layout.x
    if not rows.is_floating_point():
        rows = functional.one_hot(rows.long(), weights[0].shape[1]).to(weights[0].dtype)
    start = _start(network, layout.B, weights) if state is None else [layout.state_rows(s) for s in state]
    hx = tuple(start) if network.cell == "lstm" else start[0]
    layers = len(weights) // len(network.fields) // network.per_layer
    both = network.directions == BOTH
    # in training mode wherever gradients may be asked for: without dropout it computes the same
    rest = (weights, "bx" in network.fields, layers, network.dropout, torch.is_grad_enabled(), both)
    operation = OPERATIONS[network.cell, _activation(network)]
    if layout.batch_sizes is None:
        y, *last = operation(rows, hx, *rest, False)
    else:
        y, *last = operation(rows, layout.batch_sizes, hx, *rest)
    return layout.output(y), tuple(layout.state(part) for part in last)


def _start(network: Network, B: int, weights: list[Tensor]) -> list[Tensor]:
    each_weights: list[Weights] = network.each([weight.data for weight in weights])  # zeros are like these
    each = [composed.zeros(network.cell, B, w) for w in each_weights]
    return [torch.stack(parts) for parts in zip(*each, strict=True)]


def _activation(network: Network) -> str:
    return str(network.options[0].get("activation", "tanh")) if network.options else "tanh"
