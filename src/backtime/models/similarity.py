"""The network that compares texts: one reader for both, and the cosine of its two vectors.

With u and v the vectors of the N pairs of a batch, c_ij = u_i . v_j / (|u_i| |v_j|), the losses are

    pairs   -1/2N sum_i [ log softmax_j(c_ij / tau)_i + log softmax_j(c_ji / tau)_i ]     in-batch negatives
    score   1/N sum_i (c_ii - s_i)^2
    label   -1/N sum_i [ y_i log p_i + (1 - y_i) log(1 - p_i) ],  p_i = sigmoid(a (c_ii - b))

The softmax is over the pairs j of the batch, those left out of which it is known that their text belongs to
text i. Henderson et al., arXiv 1705.00652; Reimers and Gurevych, arXiv 1908.10084; Zhai et al., 2303.15343.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from backtime.models.reader import SequenceEncoder
from backtime.models.similarity_config import SimilarityConfig

__all__ = ["Similarity", "SimilarityConfig"]

THRESHOLD = 0.5  # b at the start


class Similarity(SequenceEncoder):
    """The vector of each text; with labels also a, as its logarithm, and b, which are learned."""

    config: SimilarityConfig

    def __init__(self, config: SimilarityConfig) -> None:
        """Draw the initial weights."""
        super().__init__(config)
        if config.target == "label":
            self.log_scale = nn.Parameter(torch.full((1,), -math.log(config.temperature)))
            self.threshold = nn.Parameter(torch.full((1,), THRESHOLD))

    def vectors(self, rows: Tensor, batch_sizes: Tensor) -> Tensor:
        """The vectors (B, P) of packed rows, each of length 1."""
        return functional.normalize(self(rows, batch_sizes))

    def loss(self, u: Tensor, v: Tensor, values: Tensor, related: Tensor) -> Tensor:
        """Mean loss of the pairs of vectors ``u`` and ``v`` (N, P).

        ``values`` (N,) are scores or labels; ``related`` (N, N) says of which texts u_i and v_j, i and j not
        the same, it is known that they belong together.
        """
        if self.config.target == "pairs":
            return in_batch_loss(u @ v.T / self.config.temperature, related)
        cosines = (u * v).sum(1)
        if self.config.target == "score":
            return functional.mse_loss(cosines, values)
        return functional.binary_cross_entropy_with_logits(self.decision(cosines), values)

    def decision(self, cosines: Tensor) -> Tensor:
        """a (c - b): above 0 where two texts are the same."""
        return self.log_scale.exp() * (cosines - self.threshold)


def in_batch_loss(z: Tensor, related: Tensor) -> Tensor:
    """The mean cross-entropy of the rows and of the columns of z (N, N), whose diagonal is right."""
    z = z.masked_fill(related & ~torch.eye(len(z), dtype=torch.bool, device=z.device), -torch.inf)
    right = torch.arange(len(z), device=z.device)
    return (functional.cross_entropy(z, right) + functional.cross_entropy(z.T, right)) / 2
