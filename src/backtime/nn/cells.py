"""One step of a recurrent layer as a module, in place of ``torch.nn``'s cells."""

from typing import Any

import torch
from torch import Tensor, nn

from backtime.nn import check, paths
from backtime.nn.check import CallError
from backtime.nn.entry import in_type
from backtime.nn.rnn import ACTIVATIONS
from backtime.nn.tensors import Call, Options, States, Weights


class Cell(nn.RNNCellBase):
    """One step with ``torch.nn``'s parameters: ``weight_ih``, ``bias_hh`` and so on."""

    cell: str
    state_names: tuple[str, ...] = ("h0",)

    def _step(self, x: Any, state: States | None) -> States:
        """The new state from ``x`` (B, I), integers (B,), or (I,) of a single sequence."""
        own: Any = self  # for the types: a parametrization may put any tensor there
        weights = Weights(own.weight_ih, own.weight_hh, own.bias_ih, own.bias_hh)
        x = in_type("input", x, weights.Wx)
        axes = x.ndim + (not x.is_floating_point())
        if axes not in (1, 2) or (x.is_floating_point() and x.shape[-1] != self.input_size):
            raise CallError(
                f"input has shape {tuple(x.shape)}; expected (B, I) or (I,) with I = {self.input_size}"
            )
        batched = axes == 2
        rows = (x if batched else x.unsqueeze(0)).unsqueeze(0)  # (1, B, I)
        start = () if state is None else self._enter(state, rows.shape[1] if batched else None, weights.Wx)
        _, last = paths.run(Call(self.cell, self._kernel_options()), rows, start, weights, "auto")
        return last if batched else tuple(s.squeeze(0) for s in last)

    def _kernel_options(self) -> Options:
        activation = getattr(self, "nonlinearity", "tanh")
        return {} if activation == "tanh" else {"activation": activation}

    def _enter(self, state: States, B: int | None, like: Tensor) -> States:
        found = []
        for name, part in zip(self.state_names, state, strict=True):
            value = in_type(name, part, like)
            check.check_floats(name, value, like)
            wanted = (self.hidden_size,) if B is None else (B, self.hidden_size)
            check.check_shape(name, value, "(H,)" if B is None else "(B, H)", wanted)
            found.append(value.unsqueeze(0) if B is None else value)
        return tuple(found)


def _check(
    input_size: Any, hidden_size: Any, bias: Any, dtype: torch.dtype | None, nonlinearity: str = "tanh"
) -> None:
    check.check_sizes(input_size=input_size, hidden_size=hidden_size)
    check.check_flags(bias=bias)
    check.check_dtype(dtype)
    check.check_choice("nonlinearity", nonlinearity, ACTIVATIONS)


class RNNCell(Cell, nn.RNNCell):
    """h' = f(Wx x + bx + Wh h + bh), in place of ``torch.nn.RNNCell``; f as in ``RNN``."""

    cell = "rnn"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Check the arguments and draw the initial weights."""
        _check(input_size, hidden_size, bias, dtype, nonlinearity)
        super().__init__(input_size, hidden_size, bias, nonlinearity, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The new h (B, H), or (H,), from ``input`` (B, I), or (I,), and h; None is zeros."""
        return self._step(input, None if hx is None else (hx,))[0]


class GRUCell(Cell, nn.GRUCell):
    """One step of ``GRU``, in place of ``torch.nn.GRUCell``."""

    cell = "gru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Check the arguments and draw the initial weights."""
        _check(input_size, hidden_size, bias, dtype)
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The new h (B, H), or (H,), from ``input`` (B, I), or (I,), and h; None is zeros."""
        return self._step(input, None if hx is None else (hx,))[0]


class LSTMCell(Cell, nn.LSTMCell):
    """One step of ``LSTM``, in place of ``torch.nn.LSTMCell``."""

    cell = "lstm"
    state_names = ("h0", "c0")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Check the arguments and draw the initial weights."""
        _check(input_size, hidden_size, bias, dtype)
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The new (h, c), each (B, H), or (H,), from ``input`` (B, I), or (I,), and (h, c); None is zeros."""
        if hx is not None and (not isinstance(hx, tuple | list) or len(hx) != 2):
            raise CallError(f"hx is a {type(hx).__name__}; expected the pair (h0, c0)")
        h, c = self._step(input, None if hx is None else tuple(hx))
        return h, c
