"""Long short-term memory as a PyTorch module."""

from typing import Any

import torch
from torch import Tensor

from backtime.nn import backends, recording, validation
from backtime.nn.layer import Recurrent
from backtime.nn.options import Settings


class LSTM(Recurrent, torch.nn.LSTM):
    """Long short-term memory, in place of ``torch.nn.LSTM``; gates in the order i f g o.

        i, f, o = sigmoid(Wx x + bx + Wh h + bh)    each with its rows of the weights
        g = tanh(Wx_g x + bx_g + Wh_g h + bh_g)
        c' = f * c + i * g
        h' = o * tanh(c')                           with proj_size P > 0: h' = Wy (o * tanh(c'))

    ``dropout`` falls on the output of each layer but the last, in training mode. Parameters of layer l:
    ``weight_ih_l{l}`` (4H, I or what the layer below gives), ``weight_hh_l{l}`` (4H, P or H), with ``bias``
    ``bias_ih_l{l}``, ``bias_hh_l{l}`` (4H,), with ``proj_size`` ``weight_hr_l{l}`` (P, H); ``..._reverse`` of
    the other direction. The keyword arguments: docs/pytorch.md. Hochreiter and Schmidhuber (1997), with the
    forget gate of Gers et al. (2000). Raises ``UsageError`` (a ``ValueError``) naming the argument that does
    not fit.
    """

    cell = "lstm"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        peephole: bool = False,
        coupled: bool = False,
        forget_bias: float | None = None,
        layer_norm: bool = False,
        zoneout: float | tuple[float, float] = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        variational_dropout: bool = False,
        learned_state: bool = False,
        merge: str = "concat",
        backend: str = "auto",
    ) -> None:
        """Check the arguments and draw the initial weights."""
        validation.check_sizes(hidden_size=hidden_size)
        validation.check_projection(proj_size, hidden_size)
        validation.check_flags(coupled=coupled)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size,
            device, dtype,
            Settings(
                kernel={"coupled": True} if coupled else {},
                peephole=peephole, forget_bias=forget_bias, layer_norm=layer_norm, zoneout=zoneout,
                recurrent_dropout=recurrent_dropout, weight_dropout=weight_dropout,
                variational_dropout=variational_dropout, learned_state=learned_state, merge=merge,
                backend=backend,
            ),
        )  # fmt: skip

    def forward(
        self,
        input: Any,
        hx: tuple[Tensor, Tensor] | None = None,
        lengths: Any = None,
        reset: Tensor | None = None,
        trace: bool | None = None,  # None, for torch.onnx's older exporter hands on what is not given
    ) -> Any:
        """Outputs ``y`` (T, B, P) of the last layer, the last state ``(h_n, c_n)``, (L, B, P) and (L, B, H).

        ``input`` is (T, B, I) floats, or (T, B) integers for one-hot input; (B, T, ...) with ``batch_first``,
        without B for a single sequence; or a ``PackedSequence``, and then ``y`` is one. P is H without
        ``proj_size``; in both directions P is 2P in ``y`` and L is 2L. ``hx`` is ``(h0, c0)``, shaped as the
        last state; None is zeros. ``lengths``, ``reset`` and ``trace``, which adds a third result:
        docs/pytorch.md.
        """
        recorded = backends.recorded()
        run = self._run if type(input) is Tensor and not recorded else recording.of_layer(self, input)
        y, (h, c), steps = run(
            input, None if hx is None else recording.pair(hx), lengths, reset, trace, recorded
        )
        return (y, (h, c), steps) if trace else (y, (h, c))
