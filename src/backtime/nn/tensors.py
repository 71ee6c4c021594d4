"""What a layer's call is made of: the weights of one direction as tensors, and what is not learned."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

Options = dict[str, Any]  # of a cell, as the kernels name them; tensors where the kernels take arrays
States = tuple[Tensor, ...]  # (h,) or (h, c)


class Weights(NamedTuple):
    """``reference.Weights`` as tensors; None where there is none. ``P`` is the width of what recurs."""

    Wx: Tensor  # (G*H, I)
    Wh: Tensor  # (G*H, P)
    bx: Tensor | None = None  # (G*H,)
    bh: Tensor | None = None  # (G*H,)
    Wy: Tensor | None = None  # (P, H)  LSTM: projection; Jordan: output product
    by: Tensor | None = None  # (P,)    Jordan
    p: Tensor | None = None  # (3, H)  LSTM: peephole, rows i f o
    gx: Tensor | None = None  # (G*H,)  layer norm: gain of the input product
    gh: Tensor | None = None  # (G*H,)  layer norm: gain of the hidden product
    gc: Tensor | None = None  # (H,)    LSTM with layer norm: gain of LN(c)
    bc: Tensor | None = None  # (H,)    and its shift


class Call(NamedTuple):
    """One layer in one direction, apart from its tensors."""

    cell: str
    options: Options
    batch_sizes: Tensor | None = None  # (T,) of packed rows, on the CPU
    reverse: bool = False
    stacked: bool = False  # whether the state parts are (1, B, .), as a caller has them, in place of (B, .)
    direct: bool = False  # whether nn.direct can take it: a plain layer


def autocast_on(device_type: str) -> bool:
    """Whether autocast is on for such devices; some have none."""
    return torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)
