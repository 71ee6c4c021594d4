"""The Elman RNN as a PyTorch module."""

from typing import Any

import torch

from backtime.nn import validation
from backtime.nn.layer import OneState
from backtime.nn.options import Settings

ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")


class RNN(OneState, torch.nn.RNN):
    """Elman RNN, in place of ``torch.nn.RNN``: h_t = f(Wx x_t + bx + Wh h_(t-1) + bh).

    ``nonlinearity`` is f: ``"tanh"``, ``"relu"``, ``"sigmoid"`` or ``"identity"``. ``dropout`` falls on the
    output of each layer but the last, in training mode. Parameters of layer l: ``weight_ih_l{l}`` (H, I or
    what the layer below gives), ``weight_hh_l{l}`` (H, H) and, with ``bias``, ``bias_ih_l{l}``,
    ``bias_hh_l{l}`` (H,); ``..._reverse`` of the other direction. The keyword arguments: docs/pytorch.md;
    ``leak`` is a in h_t = (1 - a) h_(t-1) + a f(...). Elman, Finding structure in time (1990). Raises
    ``UsageError`` (a ``ValueError``) naming the argument that does not fit.
    """

    cell = "rnn"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: int = 0,
        layer_norm: bool = False,
        zoneout: float = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        variational_dropout: bool = False,
        leak: float | None = None,
        learned_state: bool = False,
        merge: str = "concat",
        backend: str = "auto",
    ) -> None:
        """Check the arguments and draw the initial weights; ``proj_size`` is the LSTM's, and refused."""
        validation.check_no_projection(proj_size)
        validation.check_nonlinearity(nonlinearity, ACTIVATIONS)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype,
            Settings(
                kernel={} if nonlinearity == "tanh" else {"activation": nonlinearity},
                layer_norm=layer_norm, zoneout=zoneout, recurrent_dropout=recurrent_dropout,
                weight_dropout=weight_dropout, variational_dropout=variational_dropout,
                leak=leak, learned_state=learned_state, merge=merge,
                backend=backend,
            ),
        )  # fmt: skip
        self.nonlinearity = nonlinearity
