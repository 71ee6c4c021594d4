"""Music as piano rolls: at each frame, which keys sound in the next one. Aligned, many answers at once."""

from torch import Tensor, nn
from torch.nn import functional

from backtime.models.layers import Columns, dropped, recurrent, run
from backtime.models.memory import check_memory
from backtime.models.network import Network
from backtime.models.piano_config import PianoConfig

__all__ = ["Piano", "PianoConfig"]


class Piano(Network):
    """Frames (R, K) -> L recurrent layers -> sigmoid over each of K keys.

    The loss is the binary cross-entropy summed over the keys, -sum_k t_k log y_k + (1 - t_k) log(1 - y_k), in
    nats a frame, from the logits: see docs/losses.md. Dropout falls between layers and on the last one's
    output.
    """

    def __init__(self, config: PianoConfig) -> None:
        """Draw the initial weights."""
        super().__init__()
        self.config: PianoConfig = config
        check_memory(config)
        self.rnn = recurrent(config, config.keys)
        self.columns = Columns(config)
        self.head = nn.Linear(config.hidden_size, config.keys)

    def forward(self, rows: Tensor, batch_sizes: Tensor) -> Tensor:
        """Logits (R, K) of packed rows of frames: for each what comes after it."""
        h, _ = run(self.rnn, rows, batch_sizes)
        logits: Tensor = self.head(self.columns(dropped(h, self.config.dropout, self.training)))
        return logits

    def losses(self, rows: Tensor, batch_sizes: Tensor, targets: Tensor) -> Tensor:
        """The negative log-likelihood (R,) of each target frame (R, K), in nats."""
        logits = self(rows, batch_sizes)
        return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1)
