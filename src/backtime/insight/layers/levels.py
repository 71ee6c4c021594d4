"""One layer in one direction, run over a batch with everything kept that a step back through time asks for.

Time always runs forward here: the reverse direction is handed over with each sequence turned round.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from backtime.nn.backends import composed
from backtime.nn.types import Call, Options, States, Weights

Gradients = dict[str, Tensor]  # field of ``Weights`` -> its gradient


class Level(NamedTuple):
    """One layer in one direction, after its forward pass. T steps, B sequences, I inputs, H units."""

    name: str  # "rnn layer 0", as reports call it
    cell: str
    options: Options
    weights: Weights
    parameters: dict[str, str]  # field of ``weights`` -> name of the parameter in its module
    x: Tensor  # (T, B, I), or (T, B) integers
    before: States  # (T, B, P) h, and (T, B, H) c of the LSTM, as step t finds them
    after: States  # the same as step t leaves them
    gates: dict[str, Tensor]  # (T, B, H) each
    valid: Tensor | None  # (T, B) bool: whether the sequence has this step; None where all have
    cut: Tensor | None  # (T, B) bool: where a new sequence begins, so that no gradient goes further back

    @property
    def steps(self) -> int:
        """T."""
        return len(self.after[0])


def run_level(
    name: str,
    call: Call,
    weights: Weights,
    parameters: dict[str, str],
    x: Tensor,
    start: States,
    valid: Tensor | None = None,
) -> Level:
    """Run the layer over dense rows; ``start`` (B, .) parts, or none of them for zeros."""
    with torch.no_grad():
        found = composed.forward(call, x, start, weights)
    first = start or tuple(torch.zeros_like(part[0]) for part in found.states)
    cut = call.options.get("reset")
    before = tuple(torch.cat([own[None], part[:-1]]) for own, part in zip(first, found.states, strict=True))
    if cut is not None:
        before = tuple(part.masked_fill(cut[..., None], 0) for part in before)
    options = {key: value for key, value in call.options.items() if key != "reset"}
    return Level(
        name, call.cell, options, weights, parameters, x, before, found.states, found.gates, valid, cut
    )
