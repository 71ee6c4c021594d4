"""One step of a recurrent layer as a module, in place of ``torch.nn``'s cells."""

from typing import Any

import torch
from torch import Tensor, nn

from backtime.kernels import GATES
from backtime.nn import check, parameters, paths
from backtime.nn.check import CallError
from backtime.nn.entry import in_type
from backtime.nn.rnn import ACTIVATIONS
from backtime.nn.tensors import Call, Options, States, Weights


class Cell(nn.Module):
    """The weights of one step, with ``torch.nn``'s names: ``weight_ih``, ``bias_hh`` and so on."""

    cell: str
    state_names: tuple[str, ...] = ("h0",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Check the arguments and draw the initial weights."""
        super().__init__()
        check.check_sizes(input_size=input_size, hidden_size=hidden_size)
        check.check_flags(bias=bias)
        check.check_dtype(dtype)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self._options: Options = {}
        GH = GATES[self.cell] * hidden_size
        shapes = {
            "weight_ih": (GH, input_size),
            "weight_hh": (GH, hidden_size),
            "bias_ih": (GH,),
            "bias_hh": (GH,),
        }
        for name, size in shapes.items():
            absent = name.startswith("bias") and not bias
            value = None if absent else nn.Parameter(torch.empty(size, device=device, dtype=dtype))
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-1/sqrt(H), 1/sqrt(H)), in the order in which torch.nn draws them."""
        parameters.draw(self, self.hidden_size)

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
        _, last = paths.run(Call(self.cell, self._options), rows, start, weights, "auto")
        return last if batched else tuple(s.squeeze(0) for s in last)

    def _enter(self, state: States, B: int | None, like: Tensor) -> States:
        found = []
        for name, part in zip(self.state_names, state, strict=True):
            value = in_type(name, part, like)
            check.check_floats(name, value, like)
            wanted = (self.hidden_size,) if B is None else (B, self.hidden_size)
            check.check_shape(name, value, "(H,)" if B is None else "(B, H)", wanted)
            found.append(value.unsqueeze(0) if B is None else value)
        return tuple(found)

    def extra_repr(self) -> str:
        """The arguments that are not at their defaults, as torch.nn prints them."""
        activation = self._options.get("activation")
        return "".join(
            [
                f"{self.input_size}, {self.hidden_size}",
                "" if self.bias else ", bias=False",
                f", nonlinearity={activation}" if activation else "",
            ]
        )


class RNNCell(Cell):
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
        check.check_choice("nonlinearity", nonlinearity, ACTIVATIONS)
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity
        if nonlinearity != "tanh":
            self._options["activation"] = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The new h (B, H), or (H,), from ``input`` (B, I), or (I,), and h; None is zeros."""
        return self._step(input, None if hx is None else (hx,))[0]


class GRUCell(Cell):
    """One step of ``GRU``, in place of ``torch.nn.GRUCell``."""

    cell = "gru"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The new h (B, H), or (H,), from ``input`` (B, I), or (I,), and h; None is zeros."""
        return self._step(input, None if hx is None else (hx,))[0]


class LSTMCell(Cell):
    """One step of ``LSTM``, in place of ``torch.nn.LSTMCell``."""

    cell = "lstm"
    state_names = ("h0", "c0")

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The new (h, c), each (B, H), or (H,), from ``input`` (B, I), or (I,), and (h, c); None is zeros."""
        if hx is not None and (not isinstance(hx, tuple | list) or len(hx) != 2):
            raise CallError(f"hx is a {type(hx).__name__}; expected the pair (h0, c0)")
        h, c = self._step(input, None if hx is None else tuple(hx))
        return h, c
