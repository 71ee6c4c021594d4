"""Weights that PyTorch has expanded for the gradients of each sample (``call_for_per_sample_grads``).

It has rules for its own operations of plain layers, written by parts. It has none for cells, nor
for what options add.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor

from backtime.nn.backends import cudnn
from backtime.nn.call_validation import check_call
from backtime.nn.types import Network, States
from backtime.nn.validation import CallError


def among(weights: list[Any]) -> bool:
    """Whether there is one; a frozen weight stays as it is."""
    return any(type(weight).__name__ == "ExpandedWeight" for weight in weights)


def run(network: Network, x: Tensor, state: States | None, weights: list[Any]) -> tuple[Tensor, States]:
    """All layers by PyTorch's own operation; raises ``UsageError`` for what it has no rules for."""
    if network.one_step:
        refuse("a cell of backtime")
    if network.masks or network.reset is not None or not cudnn.has(network):
        refuse()
    check_call(network, x, state, [weight.data for weight in weights])
    with _by_parts():
        return cudnn.run(network, x, state, weights)


def refuse(what: str = "options that torch.nn has not") -> NoReturn:
    """In PyTorch's words first, and with the way that is open."""
    raise CallError(
        f"Expanded Weights encountered but cannot handle {what}; "
        "expected torch.func's vmap(grad(...)) for the gradients of each sample"
    )


@contextmanager
def _by_parts() -> Iterator[None]:
    """Without oneDNN, for whose LSTM in float32 PyTorch has no rule."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)  # torch.backends.mkldnn.flags sets more, and warns of it
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)
