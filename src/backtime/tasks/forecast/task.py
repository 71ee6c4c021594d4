"""Forecasting to the trainer: windows of past and future, and their loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtime.data.timeseries.panel import Panel
from backtime.data.timeseries.windows import Rows, every_step, make_batch
from backtime.runtime.forecast_network import ForecastNetwork
from backtime.runtime.forecast_scores import score
from backtime.tasks.forecast.settings import ForecastSettings
from backtime.tasks.shared.network_task import BucketTask
from backtime.training.metrics import Metric
from backtime.training.task import Carried

if TYPE_CHECKING:
    import torch

    from backtime.models.forecaster import Forecaster as Network

MEASURED = 512  # windows at once in a validation


def metrics_of(settings: ForecastSettings) -> tuple[Metric, ...]:
    """The loss, and MASE; a recursive model, trained to look one step ahead, is chosen by MASE."""
    both = (Metric("loss", "in scaled units", counted="numbers"), Metric("mase"))
    return both if settings.strategy == "direct" else both[::-1]


class ForecastTask(BucketTask):
    """A forecaster on series: windows of the training part, drawn anew each epoch."""

    name = "forecast"
    network: Network
    data: Panel
    settings: ForecastSettings

    def __init__(self, model: Network, data: Panel, settings: ForecastSettings) -> None:
        """Find the windows of both parts."""
        self.training = data.windows("training")
        super().__init__(model, data, settings, np.ones(len(self.training), np.int64))
        self.held_out = data.windows("validation") if settings.validation_fraction else None
        self.metrics = metrics_of(settings)

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch of windows, over steps and targets, in scaled units."""
        rows = self.training.rows(self.buckets.batch(epoch, step))
        error = self._error(rows, self.settings.recurrence == "hidden")
        return self._loss(error), None, error.shape[:-1].numel()

    def validate(self) -> dict[str, float]:
        """Mean loss over the windows of the validation part, and the MASE of the forecasts."""
        from backtime.training.devices import measuring

        if self.held_out is None:
            return {}
        total, count = 0.0, len(self.held_out)
        with measuring(self.network):
            for first in range(0, count, MEASURED):
                rows = self.held_out.rows(np.arange(first, min(first + MEASURED, count)))
                total += self._loss(self._error(rows)).item() * len(rows)
        data = self.data
        found = score(self._forecasts(), data.coding, data.series, data.rows, self.held_out)
        return {"loss": total / count, "mase": found["mase"]}

    def _error(self, rows: Rows, every: bool = False) -> torch.Tensor:
        """Truth less forecast (.., K, Q): of the horizon, or with ``every`` after each step read."""
        from backtime.training.devices import tensors

        batch = (every_step if every else make_batch)(rows, self.data.coding.frame)
        x, known, base, targets = tensors(batch, self.network)
        found = (self.network.every_step if every else self.network)(x, known)
        error: torch.Tensor = (targets - base)[..., None] - found
        return error

    def _loss(self, error: torch.Tensor) -> torch.Tensor:
        if self.settings.loss == "quantile":
            q = error.new_tensor(self.network.config.quantiles)
            error = error * (q - (error < 0).to(error.dtype))
        loss: torch.Tensor = (error.square() if self.settings.loss == "mse" else error.abs()).mean()
        return loss

    def _forecasts(self) -> ForecastNetwork:
        weights = {name: value.numpy(force=True) for name, value in self.network.state_dict().items()}
        return ForecastNetwork(self.network.config, self.data.coding.frame, weights)
