"""The Jordan network as a PyTorch module."""

from typing import Any

import torch

from backtime.nn import validation
from backtime.nn.layer import OneState
from backtime.nn.options import Settings
from backtime.nn.rnn import ACTIVATIONS


class Jordan(OneState):
    """Jordan network: what recurs is the output, of width P = ``output_size``.

        h_t = f(Wx x_t + bx + Wh y_(t-1) + bh)
        y_t = g(Wy h_t + by)

    ``nonlinearity`` is f, ``output_nonlinearity`` g. Parameters of layer l: ``weight_ih_l{l}`` (H, I or what
    the layer below gives), ``weight_hh_l{l}`` (H, P), ``weight_hr_l{l}`` (P, H) for Wy and, with ``bias``,
    ``bias_ih_l{l}``, ``bias_hh_l{l}`` (H,), ``bias_hr_l{l}`` (P,). The other arguments as in ``RNN``. Jordan,
    Serial order (1986). Raises ``UsageError`` (a ``ValueError``) naming the argument that does not fit.
    """

    cell = "jordan"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        output_nonlinearity: str = "identity",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        layer_norm: bool = False,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        variational_dropout: bool = False,
        learned_state: bool = False,
        merge: str = "concat",
        backend: str = "auto",
    ) -> None:
        """Check the arguments and draw the initial weights."""
        validation.check_sizes(output_size=output_size)
        validation.check_nonlinearity(nonlinearity, ACTIVATIONS)
        validation.check_choice("output_nonlinearity", output_nonlinearity, ACTIVATIONS)
        kernel = {} if nonlinearity == "tanh" else {"activation": nonlinearity}
        kernel |= {} if output_nonlinearity == "identity" else {"output_activation": output_nonlinearity}
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, output_size,
            device, dtype,
            Settings(
                kernel=kernel, layer_norm=layer_norm, recurrent_dropout=recurrent_dropout,
                weight_dropout=weight_dropout, variational_dropout=variational_dropout,
                learned_state=learned_state, merge=merge, backend=backend,
            ),
        )  # fmt: skip
        self.output_size, self.nonlinearity, self.output_nonlinearity = (
            output_size,
            nonlinearity,
            output_nonlinearity,
        )
