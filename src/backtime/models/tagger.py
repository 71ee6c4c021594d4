"""The tagger: a tag for every word, from the words on both sides of it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from backtime.data.batching.words import WordBatch
from backtime.models.crf import CRF
from backtime.models.layers import Columns, both_ends, dropped, recurrent, run
from backtime.models.memory import check_memory
from backtime.models.network import Network
from backtime.models.tagger_config import TaggerConfig
from backtime.nn import SoftmaxCrossEntropy


class Tagger(Network):
    """Words (R,) in packed rows -> [word, spelling] -> layers in both directions -> scores of L tags.

    What stands for a word is its own vector beside the last states of a layer that reads its characters in
    both directions: Lample et al., arXiv 1603.01360; Plank et al., arXiv 1604.05529. In training mode
    ``config.dropout`` falls on that, between the layers and on the last layer's output. The loss is that of
    each word alone, or with ``config.crf`` that of the tags of the sentence (``CRF``).
    """

    def __init__(self, config: TaggerConfig) -> None:
        """Draw the initial weights."""
        check_memory(config)
        super().__init__()
        self.config: TaggerConfig = config
        self.words = nn.Embedding(config.words, config.word_size)
        self.characters = nn.Embedding(config.characters, config.character_size)
        self.spelling = recurrent(config.spelling, config.character_size)
        self.rnn = recurrent(config, config.input_size)
        self.columns = Columns(config)
        self.head = SoftmaxCrossEntropy(config.width, config.tags)
        self.crf = CRF(config.tags) if config.crf else None
        nn.init.normal_(self.words.weight, std=0.1)  # beside the spelling's states, which are below 1

    def forward(self, batch: WordBatch) -> Tensor:
        """Outputs (R, 2H) of the last layer, for the head."""
        letters = self.characters(_tensor(batch.letters, self))
        _, last = run(self.spelling, letters, torch.from_numpy(batch.letter_sizes))
        spelled = both_ends(last, True)[_tensor(batch.spelled, self)]
        x = torch.cat([self.words(_tensor(batch.words, self)), spelled], 1)
        y, _ = run(self.rnn, self._dropped(x), torch.from_numpy(batch.batch_sizes))
        out: Tensor = self.columns(self._dropped(y))
        return out

    def scores(self, batch: WordBatch) -> Tensor:
        """Scores (R, L) of the tags at each word."""
        z: Tensor = self.head.logits(self(batch))
        return z

    def loss(self, batch: WordBatch, tags: Tensor) -> Tensor:
        """Mean loss in nats a word of ``tags`` (R,)."""
        if self.crf is not None:
            return self.loss_of(self.scores(batch), tags, batch.batch_sizes)
        loss: Tensor = self.head(self(batch), tags)  # in one operation, which stores no scores
        return loss

    def loss_of(self, z: Tensor, tags: Tensor, batch_sizes: NDArray[np.int64]) -> Tensor:
        """The same from the scores (R, L)."""
        if self.crf is None:
            return functional.cross_entropy(z, tags)
        total: Tensor = self.crf(z, tags, batch_sizes)
        return total / len(tags)

    def _dropped(self, values: Tensor) -> Tensor:
        return dropped(values, self.config.dropout, self.training)


def _tensor(numbers: NDArray[np.int64], network: Tagger) -> Tensor:
    return torch.as_tensor(numbers, device=network.head.weight.device)
