"""The gru: ``h = (1 - z) n + z h``, ``n = tanh(zn_x + r m)``, ``m = Wh_n h + bh_n``; see docs/gru.md."""

import torch
from torch import Tensor

from backtime.insight.layers.levels import Level
from backtime.insight.steps.plain import PlainStep
from backtime.nn.types import States


class GruStep(PlainStep):
    """The reset gate stands between n and the hidden state."""

    def __init__(self, level: Level) -> None:
        """From dh to r, z, n."""
        super().__init__(level)
        r, z, n = (level.gates[name] for name in "rzn")
        m = level.before[0] @ self.Wh[2].T
        if level.weights.bh is not None:
            m = m + level.weights.bh[2 * self.H :]
        to_n = (1 - z) * (1 - n * n)
        to_z = (level.before[0] - n) * z * (1 - z)
        to_r = to_n * m * r * (1 - r)
        self.z = z
        self.gates = [[0, 1, 2]]
        self.to_x = [torch.stack([to_r, to_z, to_n], 2)]
        self.to_h = [torch.stack([to_r, to_z, to_n * r], 2)]

    def past(self, s: int, dh: Tensor, entered: States) -> States:
        """``z dh`` goes straight on."""
        return (dh.addcmul_(entered[0], self.z[s].unsqueeze(1)),)

    def line(self, s: int, came: States) -> Tensor | None:
        """The line is h itself."""
        return came[0]

    def line_factor(self, s: int) -> Tensor:
        """``z``."""
        return self.z[s].unsqueeze(1)
