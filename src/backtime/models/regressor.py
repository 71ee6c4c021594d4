"""The regressor: one number for a whole sequence."""

from torch import Tensor, nn
from torch.nn import functional

from backtime.models.reader import SequenceEncoder, owners
from backtime.models.regressor_config import RegressorConfig

__all__ = ["Regressor", "RegressorConfig"]


class Regressor(SequenceEncoder):
    """The vector v of each sequence -> a scaled number w . v + b."""

    config: RegressorConfig

    def __init__(self, config: RegressorConfig) -> None:
        """Draw the initial weights."""
        super().__init__(config)
        self.head = nn.Linear(config.width, 1)

    def scores(self, rows: Tensor, batch_sizes: Tensor) -> Tensor:
        """The numbers (B, 1), scaled."""
        z: Tensor = self.head(self(rows, batch_sizes))
        return z

    def loss(self, rows: Tensor, batch_sizes: Tensor, targets: Tensor, every_step: bool = False) -> Tensor:
        """Mean squared error of scaled ``targets`` (B,); with ``every_step`` of an answer at every step."""
        if not every_step:
            return functional.mse_loss(self.scores(rows, batch_sizes)[:, 0], targets)
        y, _ = self.read(rows, batch_sizes)
        z = self.head(self.columns(self._dropped(y)))[:, 0]
        return functional.mse_loss(z, targets[owners(batch_sizes, y.device)])
