"""Recurrent layers and what a network does with packed rows."""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from backtime.models.recurrent import RecurrentConfig
from backtime.models.skipping import Skipping
from backtime.nn import GRU, LSTM, RNN

Layers = RNN | GRU | LSTM | Skipping


def recurrent(config: RecurrentConfig, input_size: int, **noise: Any) -> Layers:
    """The layers that a configuration asks for; ``noise`` are other kinds of dropout, of ``backtime.nn``."""
    if not config.skip_connections:
        return _stacked(config, input_size, config.layers, **{"dropout": config.dropout, **noise})
    widths = [input_size] + [config.width] * (config.layers - 1)
    return Skipping([_stacked(config, width, 1, **noise) for width in widths], config.dropout)


def _stacked(config: RecurrentConfig, input_size: int, layers: int, **noise: Any) -> RNN | GRU | LSTM:
    sizes = (input_size, config.hidden_size, layers)
    common: dict[str, Any] = {
        "bidirectional": config.bidirectional, "layer_norm": config.layer_norm, **noise
    }  # fmt: skip
    if config.cell == "rnn":
        return RNN(*sizes, nonlinearity=config.activation, **common)
    if config.cell == "gru":
        return GRU(*sizes, reset_after=config.reset_after, **common)
    return LSTM(*sizes, **common)


class Columns(nn.ModuleList):
    """Layers of tanh units above each output of the recurrent ones, without a way from step to step.

    z_1 = tanh(A_1 y + a_1), z_2 = tanh(A_2 z_1 + a_2), ...; y itself where there are none.
    """

    def __init__(self, config: RecurrentConfig) -> None:
        """Draw the initial weights, as ``torch.nn.Linear`` does."""
        super().__init__(nn.Linear(config.width, config.width) for _ in range(config.output_layers))

    def forward(self, y: Tensor) -> Tensor:
        """The outputs (..., P) of the top layer from those of the recurrent ones."""
        for layer in self:
            y = torch.tanh(layer(y))
        return y


def run(layers: Layers, rows: Tensor, batch_sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (R, P) of packed rows, and the last one (L D, B, H) of every layer and direction.

    That is the last h; of the top layer with skip connections h and what skipped it, the h of all below.
    """
    y, state = layers(PackedSequence(rows, batch_sizes))
    last: Tensor = state[0] if isinstance(state, tuple) else state
    if isinstance(layers, Skipping):
        each = last.chunk(len(layers))
        last = torch.cat([*each[:-1], functools.reduce(torch.add, each)])
    return y.data, last


def both_ends(last: Tensor, bidirectional: bool) -> Tensor:
    """The last state (B, P) of the top layer: h after the last step, beside that of the other direction."""
    return torch.cat([last[-2], last[-1]], 1) if bidirectional else last[-1]


def dropped(values: Tensor, share: float, training: bool) -> Tensor:
    """Values with a share of them zeroed in training mode."""
    return functional.dropout(values, share, True) if training and share else values
