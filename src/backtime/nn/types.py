"""What a call of the layers is made of: tensors, and what is not learned."""

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


# torch.nn's names of these, and in its manner those of the options
NAMES = dict(
    zip(
        Weights._fields,
        [
            "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "bias_hr",
            "weight_peephole", "gain_ih", "gain_hh", "gain_c", "bias_c",
        ],
        strict=True,
    )
)  # fmt: skip


class Call(NamedTuple):
    """One layer in one direction, apart from its tensors."""

    cell: str
    options: Options
    batch_sizes: Tensor | None = None  # (T,) of packed rows, on the CPU
    reverse: bool = False


FORWARD, REVERSE, BOTH = 1, 2, 3


class PackedRows(NamedTuple):
    """How the rows of a ``PackedSequence`` lie."""

    batch_sizes: Tensor  # (T,) on the CPU
    order: Tensor | None = None  # (B,) the caller's sequences by falling length; None where they stand so
    back: Tensor | None = None  # (B,) its reverse
    B: int | None = None  # where there are more sequences than rows of the first step


class Network(NamedTuple):
    """All layers of a call, apart from input, state and weights.

    The weights stand in one list: those of layer 0, of its reverse, of layer 1 and so on, ``fields`` of each.
    """

    cell: str
    fields: tuple[str, ...] = Weights._fields[:4]  # which of ``Weights`` there are
    directions: int = FORWARD
    sums: bool = False  # the two directions are added, in place of beside each other
    batch_first: bool = False
    one_step: bool = False  # a cell: no axis for steps, and neither layers nor directions
    sequences: list[int] | PackedRows | None = None  # lengths of a padded batch, or how packed rows lie
    reset: Tensor | None = None
    options: tuple[Options, ...] = ()  # of each layer and direction; nothing for the usual ones
    dropout: float = 0.0  # the share that ``masks`` cut, or that is still to be cut
    masks: tuple[Tensor, ...] = ()  # what multiplies the output of each layer but the last; nothing for none

    @property
    def per_layer(self) -> int:
        """How many directions there are."""
        return 2 if self.directions == BOTH else 1

    def each(self, weights: list[Tensor]) -> list[Weights]:
        """The weights of each layer and direction."""
        n = len(self.fields)
        return [
            Weights(**dict(zip(self.fields, weights[at : at + n], strict=True)))
            for at in range(0, len(weights), n)
        ]


def autocast_on(device_type: str) -> bool:
    """Whether autocast is on for such devices; some have none."""
    return torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)
