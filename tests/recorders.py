"""Each way to record a model of PyTorch, and models to record: what is recorded follows its input."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import backtime
from backtime import nn

I, H = 3, 4
Record = Callable[..., Any]


class Model(torch.nn.Module):
    """A layer among others, its output and its state in the result."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer, self.head = (
            layer,
            torch.nn.Linear(2 * H if getattr(layer, "bidirectional", False) else H, 2),
        )

    def forward(self, x: torch.Tensor) -> Any:
        y, state = self.layer(x)
        return self.head(y), state


class Stepper(torch.nn.Module):
    """A cell among others."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell, self.head = cell, torch.nn.Linear(H, 2)

    def forward(self, x: torch.Tensor) -> Any:
        state = self.cell(x)
        return self.head(state[0] if isinstance(state, tuple) else state), state


class StepperOfOne(Stepper):
    """For the cells whose state is one tensor: TorchScript wants one type."""

    def forward(self, x: torch.Tensor) -> Any:
        state = self.cell(x)
        return self.head(state), state


def trace_without_gradients(model: Any, x: torch.Tensor) -> Record:
    with torch.no_grad():
        return torch.jit.trace(model, (x,))


def made(kind: str, **arguments: Any) -> Any:
    return Model(getattr(nn, kind)(I, H, **arguments)).eval()


def accelerated(kind: str, **arguments: Any) -> Any:
    model = Model(getattr(torch.nn, kind)(I, H, **arguments)).eval()
    assert "backtime" in str(backtime.accelerate(model))
    return model


def flat(result: Any) -> list[torch.Tensor]:
    return [result] if isinstance(result, torch.Tensor) else [t for part in result for t in flat(part)]


def follows(record: Record, model: Any, inputs: list[torch.Tensor]) -> None:
    """Asserts that the record computes of every input what the model does."""
    for x in inputs:
        with torch.no_grad():
            wanted, found = flat(model(x)), flat(record(x))
        assert len(wanted) == len(found)
        for a, b in zip(wanted, found, strict=True):
            torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5)  # float32, the sums in another order
        assert wanted[0].abs().max() > 0


class Padded(torch.nn.Module):
    """A padded batch, packed around the layer."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        y, state = self.layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return pad_packed_sequence(y)[0], state
