"""Aligned networks: an output at every step. The language model gives a distribution over the next symbol."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from backtime.models.config import LanguageConfig
from backtime.models.jordan import OutputToHidden
from backtime.models.layers import Columns, recurrent
from backtime.models.memory import check_memory
from backtime.models.network import Network
from backtime.nn import SoftmaxCrossEntropy

__all__ = ["LanguageConfig", "LanguageModel"]

State = Any  # h (L, B, H) for rnn and gru, (h, c) for lstm; None where the output recurs


class LanguageModel(Network):
    """Symbols (T, B) -> [embedding] -> L recurrent layers -> [output layers] -> softmax over V symbols.

    In training mode ``config.dropout`` falls, as in PyTorch's word_language_model and char-rnn, on the output
    of the embedding when there is one (never on one-hot input), between recurrent layers, and on the last
    layer's output before the head; never on the recurrent connections. Each element is zeroed with that
    probability and the others are divided by 1 - dropout; eval mode changes nothing.

    With ``config.output_recurrence`` the symbol is what the network gave a step before, and all that it sees
    (``OutputToHidden``): in training the true one, in sampling the one that was drawn.

    With ``config.tie_weights`` the embedding is ``head.weight`` itself (Press and Wolf, arXiv 1608.05859).
    Initial values are those of ``torch.nn``'s layers, a tied matrix having the head's.
    """

    def __init__(self, config: LanguageConfig) -> None:
        """Draw the initial weights."""
        check_memory(config)
        super().__init__()
        self.config: LanguageConfig = config
        self.embedding: nn.Embedding | None = None
        if config.embedding_size:
            self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_size)
        width, own = config.embedding_size or config.vocabulary_size, config.recurrent
        self.rnn = OutputToHidden(own, width) if config.output_recurrence else recurrent(own, width)
        self.columns = Columns(own)
        self.head = SoftmaxCrossEntropy(config.hidden_size, config.vocabulary_size)
        if config.tie_weights and self.embedding is not None:
            self.embedding.weight = self.head.weight

    def forward(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Outputs (T, B, H) of the last layer, for the head, and the last state; None is zeros."""
        x = tokens if self.embedding is None else self._dropped(self.embedding(tokens))
        h, state = self.rnn(x, state)
        return self.columns(self._dropped(h)), state

    def loss(self, tokens: Tensor, targets: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Mean loss in nats a symbol of ``targets`` (T, B) after ``tokens`` (T, B), and the last state."""
        h, state = self(tokens, state)
        return self.head(h, targets), state

    def last_loss(self, tokens: Tensor, targets: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Mean loss in nats of the symbols (B,) after the last step of (T, B) tokens, and the last state."""
        h, state = self(tokens, state)
        return self.head(h[-1], targets), state

    def initial_state(self, batch_size: int) -> State:
        """Zeros: h (L, B, H), or (h, c) for the LSTM; None where the output recurs."""
        if self.config.output_recurrence:
            return None
        like = self.head.weight
        shape = (self.config.layers, batch_size, self.config.hidden_size)
        h = torch.zeros(shape, dtype=like.dtype, device=like.device)
        return (h, torch.zeros_like(h)) if self.config.cell == "lstm" else h

    def tied(self) -> dict[str, str]:
        """A tied embedding is the head's matrix."""
        return {"embedding.weight": "head.weight"} if self.config.tie_weights else {}

    def _dropped(self, values: Tensor) -> Tensor:
        if not self.training or not self.config.dropout:
            return values
        return functional.dropout(values, self.config.dropout, True)
