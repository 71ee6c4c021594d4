"""The transcriber: what is said, without being told when (connectionist temporal classification)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from backtime.models.layers import Columns, dropped, recurrent
from backtime.models.memory import check_memory
from backtime.models.network import Network
from backtime.models.transcriber_config import TranscriberConfig

__all__ = ["Transcriber", "TranscriberConfig"]


class Transcriber(Network):
    """Features (T, B, I) -> layers in both directions -> scores of blank and characters at each step.

    The loss sums over all ways to lay the text out over the steps, blanks between (Graves et al. 2006); it is
    PyTorch's ``ctc_loss``. In training mode ``config.dropout`` falls between layers and on the output.
    """

    def __init__(self, config: TranscriberConfig) -> None:
        """Draw the initial weights."""
        check_memory(config)
        super().__init__()
        self.config: TranscriberConfig = config
        self.rnn = recurrent(config, config.channels)
        self.columns = Columns(config)
        self.head = nn.Linear(config.width, config.characters + 1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Scores (T, B, V + 1); number 0 is the blank."""
        y, _ = self.rnn(x, lengths=lengths)
        scores: Tensor = self.head(self.columns(dropped(y, self.config.dropout, self.training)))
        return scores

    def loss(self, x: Tensor, lengths: Tensor, texts: Tensor, sizes: Tensor) -> Tensor:
        """Mean loss in nats an utterance; ``texts`` are the numbers of all, one after the other, from 1.

        An utterance too short for its text costs nothing.
        """
        logs = torch.log_softmax(self(x, lengths), 2)
        each = functional.ctc_loss(logs, texts, lengths, sizes, reduction="none", zero_infinity=True)
        loss: Tensor = each.mean()
        return loss
