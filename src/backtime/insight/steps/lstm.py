"""The lstm: ``c = f c + i g``, ``h = o tanh(c)``; derived in docs/lstm.md."""

import torch
from torch import Tensor

from backtime.insight.layers.levels import Level
from backtime.insight.steps.plain import PlainStep
from backtime.nn.types import States


class LstmStep(PlainStep):
    """From dh to o, from dc to i, f, g."""

    def __init__(self, level: Level) -> None:
        """The slopes of the gates, and what h hands to c."""
        super().__init__(level)
        i, f, g, o = (level.gates[name] for name in "ifgo")
        tanh_c = torch.tanh(level.after[1])
        self.f = f
        self.into_c = o * (1 - tanh_c * tanh_c)  # dc gains dh times this
        to_i, to_f, to_g = g * i * (1 - i), level.before[1] * f * (1 - f), i * (1 - g * g)
        self.gates = [[3], [0, 1, 2]]
        self.to_x = self.to_h = [(tanh_c * o * (1 - o)).unsqueeze(2), torch.stack([to_i, to_f, to_g], 2)]

    def enter(self, s: int, dstate: States) -> States:
        """dh, and dc with what h hands to it."""
        dh, dc = dstate
        return dh, dc.addcmul_(dh, self.into_c[s].unsqueeze(1))

    def past(self, s: int, dh: Tensor, entered: States) -> States:
        """``f dc`` goes straight on along the cell line."""
        return dh, entered[1].mul_(self.f[s].unsqueeze(1))

    def line(self, s: int, came: States) -> Tensor | None:
        """The line is c; what comes to h shows in it."""
        dh, *dc = came
        shown = dh * self.into_c[s].unsqueeze(1)
        return shown + dc[0] if dc else shown

    def line_factor(self, s: int) -> Tensor:
        """``f``."""
        return self.f[s].unsqueeze(1)
