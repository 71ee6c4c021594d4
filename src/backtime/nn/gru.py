"""The gated recurrent unit as a PyTorch module."""

from typing import Any

import torch

from backtime.nn import validation
from backtime.nn.layer import OneState
from backtime.nn.options import Settings


class GRU(OneState, torch.nn.GRU):
    """Gated recurrent unit, in place of ``torch.nn.GRU``; gates in the order r z n.

        r = sigmoid(Wx_r x + bx_r + Wh_r h + bh_r)
        z = sigmoid(Wx_z x + bx_z + Wh_z h + bh_z)
        n = tanh(Wx_n x + bx_n + r * (Wh_n h + bh_n))       reset_after=True: PyTorch's and cuDNN's
        n = tanh(Wx_n x + bx_n + Wh_n (r * h) + bh_n)       reset_after=False: the paper's
        h' = (1 - z) * n + z * h

    ``dropout`` falls on the output of each layer but the last, in training mode. Parameters of layer l:
    ``weight_ih_l{l}`` (3H, I or what the layer below gives), ``weight_hh_l{l}`` (3H, H) and, with ``bias``,
    ``bias_ih_l{l}``, ``bias_hh_l{l}`` (3H,); ``..._reverse`` of the other direction. The keyword arguments:
    docs/pytorch.md. Cho et al., arXiv 1406.1078. Raises ``UsageError`` (a ``ValueError``) naming the
    argument that does not fit.
    """

    cell = "gru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: int = 0,
        reset_after: bool = True,
        layer_norm: bool = False,
        zoneout: float = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        variational_dropout: bool = False,
        learned_state: bool = False,
        merge: str = "concat",
        backend: str = "auto",
    ) -> None:
        """Check the arguments and draw the initial weights; ``proj_size`` is the LSTM's, and refused."""
        validation.check_no_projection(proj_size)
        validation.check_flags(reset_after=reset_after)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype,
            Settings(
                kernel={} if reset_after else {"reset_after": False},
                layer_norm=layer_norm, zoneout=zoneout, recurrent_dropout=recurrent_dropout,
                weight_dropout=weight_dropout, variational_dropout=variational_dropout,
                learned_state=learned_state, merge=merge, backend=backend,
            ),
        )  # fmt: skip
        self.reset_after = reset_after
