"""The rnn: ``h = f(z)``, ``z = Wx x + Wh h + b``; derived in docs/rnn.md."""

import torch

from backtime.insight.layers.levels import Level
from backtime.insight.steps.plain import PlainStep


class RnnStep(PlainStep):
    """``dz = dh f'(z)``."""

    def __init__(self, level: Level) -> None:
        """The slopes f'(z)."""
        super().__init__(level)
        h, activation = level.after[0], level.options.get("activation", "tanh")
        if activation == "tanh":
            slope = 1 - h * h
        elif activation == "sigmoid":
            slope = h * (1 - h)
        else:
            slope = torch.ones_like(h) if activation == "identity" else (level.gates["z"] > 0).to(h.dtype)
        self.gates = [[0]]
        self.to_x = self.to_h = [slope.unsqueeze(2)]
