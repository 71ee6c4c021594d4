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

    AWD-LSTM's kinds (Merity et al., arXiv 1708.02182), each drawn once a call: ``input_dropout``,
    ``hidden_dropout`` and ``output_dropout``, where given, stand in for ``dropout`` at their place, with one
    mask for all steps of a sequence; ``embedding_dropout`` zeroes all of a symbol's vector, wherever the
    symbol stands; ``weight_dropout`` zeroes elements of Wh of every layer.

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
        recurs = config.output_recurrence
        self.rnn = OutputToHidden(own, width) if recurs else recurrent(own, width, **_noise(config))
        self.columns = Columns(own)
        self.head = SoftmaxCrossEntropy(config.hidden_size, config.vocabulary_size)
        if config.tie_weights and self.embedding is not None:
            self.embedding.weight = self.head.weight

    def forward(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Outputs (T, B, H) of the last layer, for the head, and the last state; None is zeros."""
        h, state = self.rnn(self._input(tokens), state)
        return self.columns(self._dropped(h, self.config.output_dropout)), state

    def loss(
        self, tokens: Tensor, targets: Tensor, state: State = None, ar: float = 0.0, tar: float = 0.0
    ) -> tuple[Tensor, State]:
        """Mean loss in nats a symbol of ``targets`` (T, B) after ``tokens`` (T, B), and the last state.

        In training mode the gradient is that of loss + ar mean(d^2) + tar mean((h_t - h_(t-1))^2), with the
        last layer's outputs h and what dropout left of them, d: activation regularisation and temporal
        activation regularisation (Merity et al., arXiv 1708.01009). The value is the loss alone.
        """
        h, state = self.rnn(self._input(tokens), state)
        d = self._dropped(h, self.config.output_dropout)
        loss = self.head(self.columns(d), targets)
        if self.training and (ar or tar):
            penalty = ar * d.square().mean()
            if len(h) > 1:
                penalty = penalty + tar * (h[1:] - h[:-1]).square().mean()
            loss = loss + (penalty - penalty.detach())  # exactly 0, with a gradient
        return loss, state

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

    def _input(self, tokens: Tensor) -> Tensor:
        """What the first layer reads (T, B, E); the tokens themselves where there is no embedding."""
        if self.embedding is None:
            return tokens
        x: Tensor = self.embedding(tokens)
        if self.training and (share := self.config.embedding_dropout):
            kept = functional.dropout(x.new_ones(self.config.vocabulary_size), share)
            x = x * kept[tokens].unsqueeze(-1)
        return self._dropped(x, self.config.input_dropout)

    def _dropped(self, values: Tensor, once: float | None) -> Tensor:
        """(T, B, W) with the share ``once`` gone, the same at all steps; None: ``dropout``, at each step."""
        share = self.config.dropout if once is None else once
        if not self.training or not share:
            return values
        if once is None:
            return functional.dropout(values, share, True)
        return values * functional.dropout(values.new_ones(1, *values.shape[1:]), share, True)


def _noise(config: LanguageConfig) -> dict[str, Any]:
    """The dropout within the layers; only what is not the usual one, which some layers alone have."""
    noise: dict[str, Any] = {}
    if config.hidden_dropout is not None:
        noise |= {"dropout": config.hidden_dropout, "variational_dropout": True}
    if config.weight_dropout:
        noise["weight_dropout"] = config.weight_dropout
    return noise
