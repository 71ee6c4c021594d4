"""Long short-term memory as a PyTorch module."""

from torch import Tensor

from backtime.errors import UsageError
from backtime.nn.layer import Recurrent


class LSTM(Recurrent):
    """Long short-term memory, in place of ``torch.nn.LSTM``; gates in the order i f g o.

        i, f, o = sigmoid(Wx x + bx + Wh h + bh)    each with its rows of the weights
        g = tanh(Wx_g x + bx_g + Wh_g h + bh_g)
        c' = f * c + i * g
        h' = o * tanh(c')

    ``dropout`` falls on the output of each layer but the last, in training mode. Parameters of layer l:
    ``weight_ih_l{l}`` (4H, I or H), ``weight_hh_l{l}`` (4H, H) and, with ``bias``, ``bias_ih_l{l}``,
    ``bias_hh_l{l}`` (4H,). Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).
    Raises ``UsageError`` (a ``ValueError``) naming the argument that does not fit.
    """

    cell = "lstm"
    state_names = ("h0", "c0")

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Outputs ``y`` (T, B, H) of the last layer and the last state ``(h_n, c_n)``, each (L, B, H).

        ``x`` is (T, B, I) floats, or (T, B) integers for one-hot input; (B, T, ...) with ``batch_first``,
        without B for a single sequence. ``state`` is ``(h0, c0)``, each (L, B, H); None is zeros.
        """
        if state is not None and (not isinstance(state, tuple | list) or len(state) != 2):
            raise UsageError(f"state is a {type(state).__name__}; expected the pair (h0, c0)")
        y, (h, c) = self._run(x, None if state is None else tuple(state))
        return y, (h, c)
