"""The reader: one vector for a whole sequence, and one answer."""

import torch
from torch import Tensor, nn

from backtime.models.layers import Columns, both_ends, dropped, recurrent, run
from backtime.models.memory import check_memory
from backtime.models.network import Network
from backtime.models.reader_config import ReaderConfig, SequenceEncoderConfig
from backtime.nn import SoftmaxCrossEntropy


class SequenceEncoder(Network):
    """Packed rows -> [embedding] -> layers -> one vector a sequence.

    The rows are symbols (R,) or numbers (R, I). Pooling, with y_t the output of the last layer:

        last        the state h after the last step, in both directions beside that after the first
        mean, max   over the steps, of each unit alone
        attention   sum_t a_t y_t,  a = softmax over t of q . tanh(W y_t + b)    (Yang et al. 2016)

    In training mode ``config.dropout`` falls on the embedding, between the layers and on the pooled vector.
    """

    config: SequenceEncoderConfig

    def __init__(self, config: SequenceEncoderConfig) -> None:
        """Draw the initial weights."""
        check_memory(config)
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.symbols, config.embedding_size) if config.symbols else None
        self.rnn = recurrent(config, config.input_size)
        self.columns = Columns(config)
        if config.pooling == "attention":
            self.attention = nn.Linear(config.width, config.width)
            self.query = nn.Parameter(torch.empty(config.width).uniform_(-1, 1) / config.width**0.5)

    def forward(self, rows: Tensor, batch_sizes: Tensor) -> Tensor:
        """The pooled vectors (B, P) of packed rows."""
        y, last = self.read(rows, batch_sizes)
        pooled = self._pooled(y, last, owners(batch_sizes, y.device), int(batch_sizes[0]))
        vectors: Tensor = self.columns(self._dropped(pooled))
        return vectors

    def read(self, rows: Tensor, batch_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (R, P) of the last layer, and the last states of all layers."""
        x = rows if self.embedding is None else self._dropped(self.embedding(rows))
        return run(self.rnn, x, batch_sizes)

    def _pooled(self, y: Tensor, last: Tensor, owner: Tensor, B: int) -> Tensor:
        if self.config.pooling == "last":
            return both_ends(last, self.config.bidirectional)
        if self.config.pooling == "max":
            lowest = y.new_full((B, y.shape[1]), -torch.inf)
            return lowest.scatter_reduce(0, owner[:, None].expand_as(y), y, "amax")
        if self.config.pooling == "mean":
            share = 1 / torch.bincount(owner, minlength=B).to(y.dtype)[owner]
        else:
            share = _softmax(torch.tanh(self.attention(y)) @ self.query, owner, B)
        return y.new_zeros(B, y.shape[1]).index_add(0, owner, share[:, None] * y)

    def _dropped(self, values: Tensor) -> Tensor:
        return dropped(values, self.config.dropout, self.training)


class Reader(SequenceEncoder):
    """The vector of each sequence -> scores of the classes."""

    config: ReaderConfig

    def __init__(self, config: ReaderConfig) -> None:
        """Draw the initial weights."""
        super().__init__(config)
        self.head = SoftmaxCrossEntropy(config.width, config.classes)

    def scores(self, rows: Tensor, batch_sizes: Tensor) -> Tensor:
        """Scores (B, K) of the classes."""
        z: Tensor = self.head.logits(self(rows, batch_sizes))
        return z

    def loss(self, rows: Tensor, batch_sizes: Tensor, classes: Tensor, every_step: bool = False) -> Tensor:
        """Mean loss in nats of ``classes`` (B,); with ``every_step`` of an answer at every step."""
        if not every_step:
            loss: Tensor = self.head(self(rows, batch_sizes), classes)
            return loss
        y, _ = self.read(rows, batch_sizes)
        loss = self.head(self.columns(self._dropped(y)), classes[owners(batch_sizes, y.device)])
        return loss


def owners(batch_sizes: Tensor, device: torch.device) -> Tensor:
    """The sequence (R,) of each packed row."""
    steps = torch.arange(int(batch_sizes[0])).expand(len(batch_sizes), -1)
    return steps[steps < batch_sizes[:, None]].to(device)


def _softmax(scores: Tensor, owner: Tensor, B: int) -> Tensor:
    """The softmax of scores (R,) over the rows of each sequence."""
    largest = scores.detach().new_full((B,), -torch.inf).scatter_reduce(0, owner, scores.detach(), "amax")
    weights = torch.exp(scores - largest[owner])
    return weights / weights.new_zeros(B).index_add(0, owner, weights)[owner]
