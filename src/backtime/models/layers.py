"""Recurrent layers and what a network does with packed rows."""

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from backtime.models.recurrent import RecurrentConfig
from backtime.nn import GRU, LSTM, RNN


def recurrent(config: RecurrentConfig, input_size: int) -> RNN | GRU | LSTM:
    """The layers that a configuration asks for."""
    sizes = (input_size, config.hidden_size, config.layers)
    if config.cell == "rnn":
        return RNN(
            *sizes,
            nonlinearity=config.activation,
            dropout=config.dropout,
            bidirectional=config.bidirectional,
        )
    if config.cell == "gru":
        return GRU(
            *sizes,
            dropout=config.dropout,
            bidirectional=config.bidirectional,
            reset_after=config.reset_after,
        )
    return LSTM(*sizes, dropout=config.dropout, bidirectional=config.bidirectional)


def run(layers: RNN | GRU | LSTM, rows: Tensor, batch_sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (R, P) of packed rows, and the last h (L D, B, H) of every layer and direction."""
    y, state = layers(PackedSequence(rows, batch_sizes))
    return y.data, state[0] if isinstance(state, tuple) else state


def both_ends(last: Tensor, bidirectional: bool) -> Tensor:
    """The last state (B, P) of the top layer: h after the last step, beside that of the other direction."""
    return torch.cat([last[-2], last[-1]], 1) if bidirectional else last[-1]


def dropped(values: Tensor, share: float, training: bool) -> Tensor:
    """Values with a share of them zeroed in training mode."""
    return functional.dropout(values, share, True) if training and share else values
