"""Gates that begin with time scales: the chrono initialisation of Tallec and Ollivier (arXiv 1804.11188).

A unit whose gate keeps the share k of its state at each step remembers for some 1 / (1 - k) steps. With a
bias of log(u - 1), and nothing else in the gate, k = 1 - 1 / u: it remembers for u steps. Units get time
scales u from 2 to N, drawn uniformly:

    lstm   b_f = log(u - 1),  b_i = -b_f     what is kept and what is taken in add up to 1, as in an average
    gru    b_z = log(u - 1)                  z is the share of the state that is kept
"""

import torch
from torch import nn

from backtime.errors import UsageError

SHORTEST = 3  # steps: the least that N may be
KEEPS = {"LSTM": (4, 1), "GRU": (3, 1)}  # how many gates there are, and which keeps the state


@torch.no_grad()
def set_time_scales(network: nn.Module, longest: int) -> None:
    """Draw the biases of the gates that keep the state, in every layer, for up to ``longest`` steps.

    They stand in the bias of the input, those of the state are 0. Raises ``UsageError`` where the cell has no
    such gate.
    """
    for layer in [part for part in network.modules() if isinstance(part, nn.RNNBase)]:
        if layer.mode not in KEEPS:
            raise UsageError(f"--time-scale {longest} with --cell rnn; expected --cell lstm or gru")
        gates, keep = KEEPS[layer.mode]
        for name in [name for name, _ in layer.named_parameters() if name.startswith("bias_ih")]:
            of_input, of_state = (
                getattr(layer, own).chunk(gates) for own in (name, name.replace("bias_ih", "bias_hh"))
            )
            bias = torch.empty_like(of_input[keep]).uniform_(2, longest).sub(1).log()
            of_input[keep].copy_(bias)
            of_state[keep].zero_()
            if layer.mode == "LSTM":
                of_input[0].copy_(-bias)
                of_state[0].zero_()
