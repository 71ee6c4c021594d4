"""What the recurrent layers share: parameters, initial values, the loop over layers, shapes in and out."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from backtime.errors import UsageError
from backtime.kernels import GATES
from backtime.nn import check
from backtime.nn.autograd import Options, Parameters, run_layer

States = tuple[Tensor, ...]  # (h,) or (h, c), each (L, B, H)


class Recurrent(nn.Module):
    """L recurrent layers with ``torch.nn``'s parameters: names, shapes, initial values."""

    cell: str
    state_names: tuple[str, ...] = ("h0",)

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
        options: Options | None = None,
    ) -> None:
        """Check the arguments and draw the initial weights."""
        super().__init__()
        check.check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check.check_dropout(dropout)
        check.check_place(device, dtype)
        if bidirectional or proj_size:
            raise UsageError(f"{'bidirectional' if bidirectional else 'proj_size'} is not there yet")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bool(bias), bool(batch_first), float(dropout)
        self.bidirectional, self.proj_size = False, 0
        self._options = options or {}
        self._names = [self._register(layer, device, dtype) for layer in range(num_layers)]
        self.reset_parameters()

    def _register(self, layer: int, device: Any, dtype: torch.dtype | None) -> tuple[str, ...]:
        rows = GATES[self.cell] * self.hidden_size
        width = self.hidden_size if layer else self.input_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, width),
            "weight_hh": (rows, self.hidden_size),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        for name, size in shapes.items():
            value = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
            self.register_parameter(f"{name}_l{layer}", value)
        return tuple(f"{name}_l{layer}" for name in shapes)

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-1/sqrt(H), 1/sqrt(H)), in the order in which torch.nn draws them."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do: it exists because code for torch.nn calls it."""

    def _weights(self, layer: int) -> Parameters:
        # by attribute, not by self._parameters: weight norm and weight dropout put plain tensors there
        found = [getattr(self, name) for name in self._names[layer]]
        return (found[0], found[1], found[2], found[3]) if self.bias else (found[0], found[1], None, None)

    def _run(self, x: Tensor, state: States | None) -> tuple[Tensor, States]:
        """Time-major or not, batched or not, in and out as ``torch.nn`` has it."""
        weights = [self._weights(layer) for layer in range(self.num_layers)]
        batched = self._check_input(x, weights[0][0])
        if not batched:
            x = x.unsqueeze(1)
        elif self.batch_first:
            x = x.transpose(0, 1)
        y, last = self._run_layers(x, self._enter_state(state, x, weights[0][0], batched), weights)
        if not batched:
            return y.squeeze(1), tuple(s.squeeze(1) for s in last)
        return (y.transpose(0, 1) if self.batch_first else y), last

    def _run_layers(self, y: Tensor, state: States, weights: list[Parameters]) -> tuple[Tensor, States]:
        starts: list[States] = list(zip(*(s.unbind(0) for s in state), strict=True)) or [()] * self.num_layers
        ends = []
        for layer, (start, own) in enumerate(zip(starts, weights, strict=True)):
            if layer and self.dropout and self.training:
                y = functional.dropout(y, self.dropout, True)
            y, end = run_layer(self.cell, self._options, y, start, own)
            ends.append(end)
        if len(ends) == 1:
            return y, tuple(s.unsqueeze(0) for s in ends[0])
        return y, tuple(torch.stack(s) for s in zip(*ends, strict=True))

    def _check_input(self, x: Tensor, like: Tensor) -> bool:
        """Raise unless ``x`` fits, up to integers' range (the kernels'); returns whether it has B."""
        check.check_tensor("x", x, like)
        one_hot = not x.is_floating_point()
        batched = x.ndim == (2 if one_hot else 3)
        if not batched and x.ndim != (1 if one_hot else 2):
            form = self._form(True, one_hot)
            raise UsageError(f"x has shape {check.shape(x)}; expected {form} or {self._form(False, one_hot)}")
        if not one_hot and x.shape[-1] != self.input_size:
            form = self._form(batched, one_hot)
            raise UsageError(
                f"x has shape {check.shape(x)}; expected {form} with I = input_size = {self.input_size}"
            )
        if 0 in x.shape:
            raise UsageError(f"x has shape {check.shape(x)}; expected no empty axis")
        return batched

    def _form(self, batched: bool, one_hot: bool) -> str:
        axes = ("(B, T" if self.batch_first else "(T, B") if batched else "(T,"
        return axes + (")" if one_hot else ", I)" if batched else " I)")

    def _enter_state(self, state: States | None, x: Tensor, like: Tensor, batched: bool) -> States:
        """The state as (L, B, H) tensors; empty for zeros."""
        if state is None:
            return ()
        form, B = ("(L, B, H)", (x.shape[1],)) if batched else ("(L, H)", ())
        expected = (self.num_layers, *B, self.hidden_size)
        for name, part in zip(self.state_names, state, strict=True):
            check.check_tensor(name, part, like)
            if not part.is_floating_point():
                raise UsageError(f"{name} is {part.dtype}; expected {like.dtype} as the weights are")
            if part.shape != expected:
                raise UsageError(f"{name} has shape {check.shape(part)}; expected {form} = {expected}")
        return state if batched else tuple(part.unsqueeze(1) for part in state)

    def extra_repr(self) -> str:
        """The arguments that are not at their defaults, as torch.nn prints them."""
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0}
        values = {
            name: getattr(self, name) for name, default in defaults.items() if getattr(self, name) != default
        }
        return "".join([text, *(f", {name}={value!r}" for name, value in (values | self._options).items())])
