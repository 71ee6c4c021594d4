"""A conditional random field over packed rows: the score of the tags of a whole sentence."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class CRF(nn.Module):
    """Scores for tags that follow each other, above the score z of each tag at each word.

        score(y) = first[y_1] + sum_t z_t[y_t] + sum_t transitions[y_(t-1), y_t] + last[y_T]
        p(y) = exp(score(y)) / sum over all y' of exp(score(y'))

    The loss is -log p of the right tags, the sum over the sentences. Parameters: ``transitions`` (L, L), from
    a row's tag to a column's, ``first`` and ``last`` (L,); they start at zero, where the field is the softmax
    of each word alone. Lafferty, McCallum and Pereira (2001); above a BiLSTM: Huang et al., arXiv 1508.01991.
    """

    def __init__(self, tags: int) -> None:
        """All scores zero."""
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        self.first = nn.Parameter(torch.zeros(tags))
        self.last = nn.Parameter(torch.zeros(tags))

    def forward(self, z: Tensor, tags: Tensor, batch_sizes: NDArray[np.int64]) -> Tensor:
        """The sum over the sentences of -log p; z (R, L) and tags (R,) are packed rows."""
        return self._normaliser(z, batch_sizes) - self._score(z, tags, batch_sizes)

    def _score(self, z: Tensor, tags: Tensor, batch_sizes: NDArray[np.int64]) -> Tensor:
        """The sum of the scores of the right tags."""
        before, ends = neighbours(batch_sizes)
        B = int(batch_sizes[0])
        steps = self.transitions[tags[torch.from_numpy(before)], tags[B:]]
        total: Tensor = z.gather(1, tags[:, None]).sum() + steps.sum()
        return total + self.first[tags[:B]].sum() + self.last[tags[torch.from_numpy(ends)]].sum()

    def _normaliser(self, z: Tensor, batch_sizes: NDArray[np.int64]) -> Tensor:
        """The sum over the sentences of log sum exp of the scores of all tags, by the forward algorithm."""
        steps = torch.split(z, batch_sizes.tolist())
        alpha, ended = self.first + steps[0], []
        for own in steps[1:]:
            going = len(own)
            ended.append(alpha[going:])
            alpha = own + torch.logsumexp(alpha[:going, :, None] + self.transitions, 1)
        return torch.logsumexp(torch.cat([*ended, alpha]) + self.last, 1).sum()


def neighbours(batch_sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row before each row of step 1 and later, and the last row of each sequence."""
    starts = np.concatenate([[0], np.cumsum(batch_sizes)])
    before = [np.arange(start, start + going) for start, going in zip(starts, batch_sizes[1:], strict=False)]
    after = np.append(batch_sizes[1:], 0)
    ends = [
        np.arange(start + going, start + own)
        for start, own, going in zip(starts, batch_sizes, after, strict=False)
    ]
    empty = np.zeros(0, np.int64)
    return np.concatenate([empty, *before]), np.concatenate(ends)
