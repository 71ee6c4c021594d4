"""The Elman RNN as a PyTorch module."""

from typing import Any

import torch
from torch import Tensor

from backtime.errors import UsageError
from backtime.nn.layer import Recurrent

ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")


class RNN(Recurrent):
    """Elman RNN, in place of ``torch.nn.RNN``: h_t = f(Wx x_t + bx + Wh h_(t-1) + bh).

    ``nonlinearity`` is f: ``"tanh"``, ``"relu"``, ``"sigmoid"`` or ``"identity"``. ``dropout`` falls on the
    output of each layer but the last, in training mode. Parameters of layer l: ``weight_ih_l{l}`` (H, I or
    H), ``weight_hh_l{l}`` (H, H) and, with ``bias``, ``bias_ih_l{l}``, ``bias_hh_l{l}`` (H,). Elman, Finding
    structure in time (1990). Raises ``UsageError`` (a ``ValueError``) naming the argument that does not fit.
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
    ) -> None:
        """Check the arguments and draw the initial weights."""
        if nonlinearity not in ACTIVATIONS:
            raise UsageError(f"nonlinearity is {nonlinearity!r}; expected one of {', '.join(ACTIVATIONS)}")
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype,
            options={"activation": nonlinearity},
        )  # fmt: skip
        self.nonlinearity = nonlinearity

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs ``y`` (T, B, H) of the last layer and the last state ``h_n`` (L, B, H) of every layer.

        ``x`` is (T, B, I) floats, or (T, B) integers for one-hot input; (B, T, ...) with ``batch_first``,
        without B for a single sequence. ``state`` is ``h0`` (L, B, H); None is zeros.
        """
        y, (h,) = self._run(x, None if state is None else (state,))
        return y, h
