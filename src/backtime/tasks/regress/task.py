"""Regression to the trainer."""

import numpy as np

from backtime.data.classes import Examples
from backtime.data.numbered import Numbered
from backtime.tasks.regress.measuring import measure
from backtime.tasks.shared.examples import MEASURED_AT_ONCE, ExampleTask


class RegressTask(ExampleTask):
    """A regressor and its examples; the loss is the mean squared error of scaled numbers."""

    name = "regress"
    data: Numbered

    def measure(self, examples: Examples) -> dict[str, float]:
        """Loss, and the errors in the numbers' own unit."""
        return measure(self.network, examples, self.data.encoder, self.data.scale, MEASURED_AT_ONCE)

    def loss_limit(self, start: float) -> float:
        """Of the batch that costs the untrained model the most, which gives numbers near the mean.

        ``start`` is that of one batch, in which a rare number far from all others need not be.
        """
        squares = np.sort(self.data.training.labels**2)[-self.settings.batch_size :]
        return super().loss_limit(max(start, float(squares.mean())))
