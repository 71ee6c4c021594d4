"""What ``torch.nn`` says of a wrong call: it stands first in our messages, for code that matches it."""

from typing import Any

from torch import Tensor

from backtime.nn.types import Network, PackedRows

KINDS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM", "jordan": "Jordan"}


def input_type(value: Tensor, like: Tensor) -> str:
    """Floats of another type than the weights."""
    return (
        f"RNN input dtype ({value.dtype}) does not match weight dtype ({like.dtype}). "
        f"Convert input: input.to({like.dtype}), or convert model: model.to({value.dtype})"
    )


def input_axes(network: Network, x: Tensor) -> str:
    """Too many axes, or too few."""
    if isinstance(network.sequences, PackedRows):
        return f"input must have 2 dimensions, got {x.ndim}"
    kind = KINDS[network.cell]
    if network.one_step:
        return f"{kind}Cell: Expected input to be 1D or 2D, got {x.ndim}D instead"
    tensor = "tensor " if network.cell == "rnn" else ""
    return f"{kind}: Expected input to be 2D or 3D, got {x.ndim}D {tensor}instead"


def input_width(network: Network, x: Tensor, I: int) -> str:
    """Another number of features."""
    if network.one_step:
        return f"input has inconsistent input_size: got {x.shape[-1]} expected {I}"
    return f"input.size(-1) must be equal to input_size. Expected {I}, got {x.shape[-1]}"


def state_shape(network: Network, state: Any, n: int, batched: bool, expected: tuple[int, ...]) -> str:
    """The n-th part of the state: its axes, or its sizes."""
    lstm, part = network.cell == "lstm", state[n]
    if network.one_step:
        return _cell_state_shape(network, part, n, expected)
    if part.ndim == len(expected):
        name = f"hidden[{n}]" if lstm else "hidden"
        return f"Expected {name} size {expected}, got {list(part.shape)}"
    axes = 3 if batched else 2
    came = ", ".join(f"{s.ndim}-D" for s in state)
    came = f"({came}) tensors" if lstm else f"{came} tensor"
    which = f"{'' if batched else 'un'}batched {axes}-D input, {'hx and cx' if lstm else 'hx'}"
    return f"For {which} should also be {axes}-D but got {came}"


def _cell_state_shape(network: Network, part: Tensor, n: int, expected: tuple[int, ...]) -> str:
    if part.ndim not in (1, 2):
        which = f"hx[{n}]" if network.cell == "lstm" else "hidden"
        return f"{KINDS[network.cell]}Cell: Expected {which} to be 1D or 2D, got {part.ndim}D instead"
    if part.ndim == len(expected) == 2 and part.shape[0] != expected[0]:
        return f"Input batch size {expected[0]} doesn't match hidden{n} batch size {part.shape[0]}"
    return f"hidden{n} has inconsistent hidden_size: got {part.shape[-1]}, expected {expected[-1]}"
