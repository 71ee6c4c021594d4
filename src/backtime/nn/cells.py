"""One step of a recurrent layer as a module, in place of ``torch.nn``'s cells."""

from typing import Any

import torch
from torch import Tensor, nn

from backtime.nn import backends, recording, validation
from backtime.nn.recording import script
from backtime.nn.rnn import ACTIVATIONS
from backtime.nn.types import Network, States, Weights


class Cell(nn.RNNCellBase):
    """One step with ``torch.nn``'s parameters: ``weight_ih``, ``bias_hh`` and so on."""

    cell: str

    def __prepare_scriptable__(self) -> Any:
        """``torch.nn``'s cell on the same parameters, for ``torch.jit.script``."""
        return script.prepared(self)

    def _new(self, x: Any, state: States | None) -> States:
        """The new state from ``x`` (B, I), integers (B,), or (I,) of a single sequence."""
        recorded = backends.recorded()
        step = self._step if type(x) is Tensor and not recorded else recording.of_cell(self, x)
        return step(x, state, recorded)

    def _step(self, x: Any, state: States | None, recorded: bool) -> States:
        network, weights = self._call()
        x, state = backends.in_type(x, state, weights[0])
        return backends.run(network, x, state, weights, recorded=recorded)[1]

    def _call(self) -> tuple[Network, list[Tensor]]:
        """What a step is made of."""
        module: Any = self  # for the types: a parametrization may put any tensor there
        weights = [module.weight_ih, module.weight_hh]
        weights += [module.bias_ih, module.bias_hh] if self.bias else []
        activation = getattr(self, "nonlinearity", "tanh")
        network = Network(
            self.cell,
            Weights._fields[: len(weights)],
            one_step=True,
            options=() if activation == "tanh" else ({"activation": activation},),
        )
        return network, weights


def _check(
    input_size: Any, hidden_size: Any, bias: Any, dtype: torch.dtype | None, nonlinearity: str = "tanh"
) -> None:
    validation.check_sizes(input_size=input_size)
    if hidden_size != 0 or isinstance(hidden_size, bool):  # torch.nn has cells of no unit
        validation.check_sizes(hidden_size=hidden_size)
    validation.check_flags(bias=bias)
    validation.check_dtype(dtype)
    validation.check_nonlinearity(nonlinearity, ACTIVATIONS)


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
        return self._new(input, None if hx is None else (hx,))[0]


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
        return self._new(input, None if hx is None else (hx,))[0]


class LSTMCell(Cell, nn.LSTMCell):
    """One step of ``LSTM``, in place of ``torch.nn.LSTMCell``."""

    cell = "lstm"

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
        h, c = self._new(input, None if hx is None else recording.pair(hx))
        return h, c
