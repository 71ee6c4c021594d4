"""Recurrent layers with connections that skip each of them but the first."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence


class Skipping(nn.ModuleList):
    """L recurrent layers, each a module of its own: y_l = layer_l(drop(y_(l-1))) + y_(l-1) for l > 1.

    A gradient has a way down past every layer, whatever the layers make of it: He et al., arXiv 1512.03385;
    in recurrent networks Wu et al., arXiv 1609.08144. The input of the first layer has another width, and
    skips nothing. States are those of the layers, without what was added to their outputs. In ``state_dict``
    the weights have the names that they have in a layer of L layers.
    """

    def __init__(self, layers: list[Any], dropout: float = 0.0) -> None:
        """Take L layers of one layer each; ``dropout`` falls on what enters all but the first."""
        super().__init__(layers)
        self.dropout = dropout
        self.register_state_dict_post_hook(_named_as_one)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_named_apart)  # type: ignore[no-untyped-call]

    def forward(
        self, input: Any, hx: Any = None, lengths: Any = None, trace: bool = False
    ) -> tuple[Any, ...]:
        """As a recurrent layer of L layers has it: outputs, last state, and with ``trace`` every layer's."""
        y, ends = input, []
        traces: list[Any] = []
        for number, layer in enumerate(self):
            below = y
            x = below if not number else _mapped(below, self._dropped)
            y, last, *steps = layer(x, _own(hx, number, len(self)), lengths, trace=trace)
            ends.append(last)
            traces += steps[0] if trace else []
            if number:
                y = _added(y, below)
        pairs = isinstance(ends[0], tuple)
        state = tuple(map(torch.cat, zip(*ends, strict=True))) if pairs else torch.cat(ends)
        return (y, state, traces) if trace else (y, state)

    def _dropped(self, values: Tensor) -> Tensor:
        return functional.dropout(values, self.dropout, True) if self.training and self.dropout else values


def _named_as_one(own: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """``1.weight_ih_l0`` becomes ``weight_ih_l1``."""
    for name in [name for name in state if name.startswith(prefix)]:
        number, _, part = name.removeprefix(prefix).partition(".")
        state[prefix + part.replace("_l0", f"_l{number}", 1)] = state.pop(name)


def _named_apart(own: Skipping, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """The other way."""
    for number, layer in enumerate(own):
        for part in dict(layer.named_parameters()):
            name = prefix + part.replace("_l0", f"_l{number}", 1)
            if name in state:
                state[f"{prefix}{number}.{part}"] = state.pop(name)


def _own(hx: Any, number: int, count: int) -> Any:
    """The part of a state (L D, B, H), or of each of a pair, that is one layer's."""
    if hx is None:
        return None
    if isinstance(hx, tuple):
        return tuple(part.chunk(count)[number].contiguous() for part in hx)
    return hx.chunk(count)[number].contiguous()


def _mapped(rows: Any, f: Any) -> Any:
    return rows._replace(data=f(rows.data)) if isinstance(rows, PackedSequence) else f(rows)


def _added(y: Any, below: Any) -> Any:
    return y._replace(data=y.data + below.data) if isinstance(y, PackedSequence) else y + below
