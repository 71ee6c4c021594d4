"""Output recurrence: units that see the outputs of the step before, under teacher forcing."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from backtime.models.recurrent import RecurrentConfig

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": torch.clone}


class OutputToHidden(nn.Module):
    """The hidden units of a Jordan network under teacher forcing: of all steps at once, none waits.

        h_t = f(Wx x_t + bx + Wh y_(t-1) + bh)

    What comes back is not computed, but given: the target of the step before, which maximum likelihood calls
    for. A row is y_(t-1) of P numbers, then x_t of I; or a symbol's number for a one-hot y_(t-1). Named as in
    ``nn.Jordan``; see docs/jordan.md.
    """

    def __init__(self, config: RecurrentConfig, outputs: int, input_size: int = 0) -> None:
        """Draw the initial weights from U(-1/sqrt(H), 1/sqrt(H)), as the recurrent layers do."""
        super().__init__()
        self.activation, H = ACTIVATIONS[config.activation], config.hidden_size
        shapes = {"weight_hh_l0": (H, outputs), "bias_hh_l0": (H,)}
        shapes |= {"weight_ih_l0": (H, input_size), "bias_ih_l0": (H,)} if input_size else {}
        for name, shape in shapes.items():
            drawn = torch.empty(shape).uniform_(-1 / math.sqrt(H), 1 / math.sqrt(H))
            self.register_parameter(name, nn.Parameter(drawn))
        self.outputs = outputs

    def forward(self, rows: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Hidden units (..., H) of rows (..., P + I) or symbols (...); there is no state to carry."""
        weight: Any = self.weight_hh_l0
        bias: Any = self.bias_hh_l0
        if not rows.is_floating_point():
            return self.activation(functional.embedding(rows, weight.T) + bias), None
        before, x = rows[..., : self.outputs], rows[..., self.outputs :]
        z = functional.linear(before, weight, bias)
        if x.shape[-1]:
            z = z + functional.linear(x, self.weight_ih_l0, self.bias_ih_l0)  # type: ignore[arg-type]
        return self.activation(z), None
