"""The peer: the same models in stock PyTorch, and the one training step that both sides run."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from backtime.models import LanguageConfig

LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


class StockModel(nn.Module):
    """``LanguageModel`` written with torch.nn: the same parameters, born by the same random draws.

    One-hot input is looked up in an identity matrix, which is faster than ``functional.one_hot`` and has the
    same weights as ours: the columns of ``weight_ih_l0`` stand for the symbols.
    """

    def __init__(self, config: LanguageConfig) -> None:
        """Build the layers in the order of ours."""
        super().__init__()
        V, E = config.vocabulary_size, config.embedding_size
        self.embedding = nn.Embedding(V, E) if E else None
        self.rnn = LAYERS[config.cell](E or V, config.hidden_size, config.layers)
        self.head = nn.Linear(config.hidden_size, V)
        self.register_buffer("identity", torch.eye(V) if not E else None, persistent=False)

    def loss(self, tokens: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Mean loss in nats a symbol, and the last state."""
        x = functional.embedding(tokens, self.identity) if self.embedding is None else self.embedding(tokens)
        h, state = self.rnn(x, state)
        return functional.cross_entropy(self.head(h).flatten(0, 1), targets.flatten()), state


def train_step(
    model: Any, optimiser: torch.optim.Optimizer, tokens: Tensor, targets: Tensor, state: Any
) -> tuple[float, Any]:
    """One step of truncated backpropagation as ``backtime train`` makes it: the loss and the last state."""
    optimiser.zero_grad()
    loss, state = model.loss(tokens, targets, state)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    if not math.isfinite(norm.item()):
        raise SystemExit("the gradient is not finite")
    optimiser.step()
    carried = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
    return loss.item(), carried
