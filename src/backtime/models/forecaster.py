"""The next steps of series from their past: many to many."""

import torch
from torch import Tensor, nn

from backtime.models.forecast_config import ForecastConfig
from backtime.models.jordan import OutputToHidden
from backtime.models.layers import Columns, dropped, recurrent
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

    With ``config.output_recurrence`` the recursive network has no other state than the values that it gave:
    what is known ahead is its input (``OutputToHidden``).

    Dropout falls between layers and on the last one's output. What the outputs are added to, and how numbers
    are scaled, is the encoding's: see ``data.timeseries.windows``.
    """

    def __init__(self, config: ForecastConfig) -> None:
        """Draw the initial weights."""
        super().__init__()
        self.config: ForecastConfig = config
        check_memory(config)
        self.rnn = _units(config)
        self.columns = Columns(config)
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
        if self.config.strategy == "recursive":
            return self._outputs(y[-self.config.horizon :])
        return self._ahead(y[-1], known)

    def every_step(self, x: Tensor, known: Tensor) -> Tensor:
        """What would be forecast after each step of ``x``, as ``forward`` does after the last.

        Direct (S, N, K, Q) for ``x`` (T, B, I) and ``known`` (S, N, F), N = T B; recursive
        (T + S - 1, B, K, Q).
        """
        y, _ = self.rnn(x)
        return (
            self._outputs(y) if self.config.strategy == "recursive" else self._ahead(y.flatten(0, 1), known)
        )

    def _outputs(self, y: Tensor) -> Tensor:
        """One step after each of ``y`` (N, B, H): (N, B, K, Q)."""
        steps: Tensor = self.head(self.columns(self._dropped(y)))
        return steps.reshape(*y.shape[:2], self.config.targets, -1)

    def _ahead(self, y: Tensor, known: Tensor) -> Tensor:
        """All S steps after each of ``y`` (B, H)."""
        h: Tensor = self.columns(self._dropped(y))
        S = self.config.horizon
        steps: Tensor = self.head(h).reshape(len(h), S, -1).transpose(0, 1)
        if self.decoder is not None:
            steps = steps + self.decoder(torch.cat([h.expand(S, -1, -1), known], 2))
        return steps.reshape(S, len(h), self.config.targets, -1)

    def _dropped(self, values: Tensor) -> Tensor:
        return dropped(values, self.config.dropout, self.training)


def _units(config: ForecastConfig) -> nn.Module:
    if config.output_recurrence:
        return OutputToHidden(config, config.targets, config.known)
    return recurrent(config, config.inputs)
