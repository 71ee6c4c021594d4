"""Helpers for the states of recurrent layers: a tensor h (L, B, H), or a pair (h, c) of the LSTM.

``L`` counts layers and directions. Every function takes and returns a state in the caller's form; none
changes its argument.
"""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, TypeVar

import torch
from torch import Tensor

from backtime.nn.parameters import state_widths
from backtime.nn.validation import CallError

State = TypeVar("State", Tensor, tuple[Tensor, ...])


def zeros(layer: Any, batch_size: int) -> tuple[Tensor, ...]:
    """``(h0,)`` or ``(h0, c0)`` of zeros, (L, B, width) each, in the layer's type and place."""
    like = next(layer.parameters())
    return tuple(
        like.new_zeros(len(layer._all_weights), batch_size, width) for width in state_widths(layer).values()
    )


def initial(layer: Any, batch_size: int) -> Any:
    """Zeros in the form that ``layer`` takes: h0, or the pair (h0, c0) of the LSTM."""
    parts = zeros(layer, batch_size)
    return parts if layer.cell == "lstm" else parts[0]


def detach(state: State) -> State:
    """Cut from the graph: for truncated backpropagation through time."""
    return _each(state, Tensor.detach)


def select(state: State, rows: Any) -> State:
    """The sequences ``rows`` of the batch, an index tensor or list of numbers (N,): (L, N, H)."""
    return _each(state, lambda part: part.index_select(1, torch.as_tensor(rows, device=part.device)))


def reset(state: State, mask: Any) -> State:
    """Zero for the sequences where ``mask`` (B,) is true."""

    def cut(part: Tensor) -> Tensor:
        chosen = torch.as_tensor(mask, device=part.device)
        if chosen.dtype != torch.bool or chosen.shape != part.shape[1:2]:
            came = f"{chosen.dtype} of shape {tuple(chosen.shape)}"
            raise CallError(f"mask is {came}; expected torch.bool (B,) = ({part.shape[1]},)")
        return part.masked_fill(chosen[:, None], 0)

    return _each(state, cut)


def unstack(state: State) -> list[State]:
    """The state of each layer and direction, (B, H): layer 0, its reverse, layer 1."""
    if isinstance(state, Tensor):
        return list(state.unbind(0))
    return [tuple(parts) for parts in zip(*(part.unbind(0) for part in state), strict=True)]


def stack(states: Sequence[State]) -> State:
    """The reverse of ``unstack``."""
    first = states[0]
    if isinstance(first, Tensor):
        return torch.stack(list(states))
    return tuple(torch.stack(parts) for parts in zip(*states, strict=True))


def save(state: State, path: str | PathLike[str]) -> None:
    """Into a file for ``load``: the values alone, not what they were cut from, nor the graph behind them."""
    torch.save(_each(state, lambda part: part.detach().clone()), path)


def load(path: str | PathLike[str], device: Any = None) -> Any:
    """A state that ``save`` wrote, in the form that it had; on ``device``, or where it was."""
    return torch.load(path, map_location=device, weights_only=True)


def _each(state: State, f: Callable[[Tensor], Tensor]) -> State:
    return f(state) if isinstance(state, Tensor) else tuple(f(part) for part in state)
