"""The recommender: which item comes next, aligned, with a loss over all items or over a sample of them."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from backtime.models.layers import Columns, dropped, recurrent, run
from backtime.models.memory import check_memory
from backtime.models.network import Network
from backtime.models.recommender_config import RecommenderConfig
from backtime.nn import SoftmaxCrossEntropy

__all__ = ["Recommender", "RecommenderConfig"]


class Recommender(Network):
    """Items (R,) in packed rows -> vectors -> layers -> softmax over all items.

    In training mode ``config.dropout`` falls on the vectors, between layers and on the last one's output.
    After Hidasi et al., arXiv 1511.06939.
    """

    def __init__(self, config: RecommenderConfig) -> None:
        """Draw the initial weights."""
        check_memory(config)
        super().__init__()
        self.config: RecommenderConfig = config
        self.embedding = nn.Embedding(config.items, config.embedding_size)
        self.rnn = recurrent(config, config.embedding_size)
        self.columns = Columns(config)
        self.head = SoftmaxCrossEntropy(config.hidden_size, config.items)

    def forward(self, rows: Tensor, batch_sizes: Tensor) -> Tensor:
        """Outputs (R, H) of the last layer, for the head."""
        y, _ = run(self.rnn, self._dropped(self.embedding(rows)), batch_sizes)
        out: Tensor = self.columns(self._dropped(y))
        return out

    def loss(self, rows: Tensor, batch_sizes: Tensor, targets: Tensor) -> Tensor:
        """Mean loss in nats of ``targets`` (R,), over all items."""
        loss: Tensor = self.head(self(rows, batch_sizes), targets)
        return loss

    def sampled_loss(
        self, rows: Tensor, batch_sizes: Tensor, targets: Tensor, shares: Tensor, negatives: int
    ) -> Tensor:
        """The same over the target and ``negatives`` items, drawn once for the batch by ``shares`` (V,).

            loss = -log exp(z_t) / (exp(z_t) + sum_j exp(z_j) / (N q_j))

        The sum, over N draws j with probabilities q, is an unbiased estimate of that over all items but the
        target (Bengio and Senecal 2008). A negative that is the target itself does not count.
        """
        h, N = self(rows, batch_sizes), negatives
        drawn = torch.multinomial(shares, N, replacement=True)
        expected = shares.log() + math.log(N)
        weight, bias = self.head.weight, self.head.bias
        assert bias is not None
        own = (h * weight[targets]).sum(1) + bias[targets]
        others = functional.linear(h, weight[drawn], bias[drawn]) - expected[drawn]
        others = others.masked_fill(drawn == targets[:, None], -torch.inf)
        loss: Tensor = (torch.logsumexp(torch.cat([own[:, None], others], 1), 1) - own).mean()
        return loss

    def _dropped(self, values: Tensor) -> Tensor:
        return dropped(values, self.config.dropout, self.training)
