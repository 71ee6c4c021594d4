"""The gated recurrent unit as a PyTorch module."""

from typing import Any

import torch
from torch import Tensor

from backtime.nn.layer import Recurrent


class GRU(Recurrent):
    """Gated recurrent unit, in place of ``torch.nn.GRU``; gates in the order r z n.

        r = sigmoid(Wx_r x + bx_r + Wh_r h + bh_r)
        z = sigmoid(Wx_z x + bx_z + Wh_z h + bh_z)
        n = tanh(Wx_n x + bx_n + r * (Wh_n h + bh_n))       reset_after=True: PyTorch's and cuDNN's
        n = tanh(Wx_n x + bx_n + Wh_n (r * h) + bh_n)       reset_after=False: the paper's
        h' = (1 - z) * n + z * h

    ``dropout`` falls on the output of each layer but the last, in training mode. Parameters of layer l:
    ``weight_ih_l{l}`` (3H, I or H), ``weight_hh_l{l}`` (3H, H) and, with ``bias``, ``bias_ih_l{l}``,
    ``bias_hh_l{l}`` (3H,). Cho et al., arXiv 1406.1078. Raises ``UsageError`` (a ``ValueError``) naming the
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
        reset_after: bool = True,
    ) -> None:
        """Check the arguments and draw the initial weights."""
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype,
            options={"reset_after": bool(reset_after)},
        )  # fmt: skip
        self.reset_after = bool(reset_after)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs ``y`` (T, B, H) of the last layer and the last state ``h_n`` (L, B, H) of every layer.

        ``x`` is (T, B, I) floats, or (T, B) integers for one-hot input; (B, T, ...) with ``batch_first``,
        without B for a single sequence. ``state`` is ``h0`` (L, B, H); None is zeros.
        """
        y, (h,) = self._run(x, None if state is None else (state,))
        return y, h
