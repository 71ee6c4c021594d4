"""The next steps of series from their past: many to many."""

import torch
from torch import Tensor, nn

from backtime.models.forecast_config import ForecastConfig
from backtime.models.layers import dropped, recurrent
from backtime.models.memory import check_memory
from backtime.models.network import Network

__all__ = ["ForecastConfig", "Forecaster"]


class Forecaster(Network):
    """Numbers (T, B, I) -> L recurrent layers -> the next S = horizon steps (S, B, K, Q).

    - direct: one linear layer gives all steps from the last output h (B, H). With F columns that are known
      ahead, a layer that is the same for each step k adds ``U tanh(A [h, known_k] + a)``; the idea is that of
      the local decoder of Wen et al., arXiv 1711.11053.
    - recursive: the input goes on over the horizon, T + S - 1 steps in all, and each output gives the step
      after it. In training the input there is the truth (teacher forcing).

    Dropout falls between layers and on the last one's output. What the outputs are added to, and how numbers
    are scaled, is the encoding's: see ``data.timeseries.windows``.
    """

    def __init__(self, config: ForecastConfig) -> None:
        """Draw the initial weights."""
        super().__init__()
        self.config: ForecastConfig = config
        check_memory(config)
        self.rnn = recurrent(config, config.inputs)
        direct = config.strategy == "direct"
        self.head = nn.Linear(config.hidden_size, config.outputs * (config.horizon if direct else 1))
        self.decoder: nn.Sequential | None = None
        if direct and config.known:
            self.decoder = nn.Sequential(
                nn.Linear(config.hidden_size + config.known, config.hidden_size),
                nn.Tanh(),
                nn.Linear(config.hidden_size, config.outputs, bias=False),
            )

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """Outputs (S, B, K, Q) for ``x`` (T, B, I), recursive (T + S - 1, B, I), and ``known`` (S, B, F)."""
        y, _ = self.rnn(x)
        fall = self.config.dropout, self.training
        S, B, K = self.config.horizon, x.shape[1], self.config.targets
        if self.config.strategy == "recursive":
            steps: Tensor = self.head(dropped(y[-S:], *fall))
        else:
            h = dropped(y[-1], *fall)
            steps = self.head(h).reshape(B, S, -1).transpose(0, 1)
            if self.decoder is not None:
                steps = steps + self.decoder(torch.cat([h.expand(S, -1, -1), known], 2))
        return steps.reshape(S, B, K, -1)
