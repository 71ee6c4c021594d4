"""What the loop asks of a job, and nothing more: the loop knows neither text nor models."""

from pathlib import Path
from typing import Any, Protocol

import torch

Carried = Any  # the hidden state between chunks: a tensor, or nested tuples of tensors


class Task(Protocol):
    """A model with its training and validation data, read chunk by chunk."""

    steps_per_epoch: int  # chunks of the training part
    tokens_per_step: int

    @property
    def model(self) -> torch.nn.Module:
        """What is trained."""

    def initial_state(self) -> Carried:
        """The zero state at the start of an epoch."""

    def loss(self, chunk: int, carried: Carried) -> tuple[torch.Tensor, Carried]:
        """Mean loss of chunk number ``chunk``, nats a token, with its graph, and the state after it."""

    def validate(self) -> float | None:
        """Mean loss of the whole validation part in nats a token; None when there is no such part."""

    def save_model(self, path: Path) -> None:
        """Write the model file, whole or not at all."""


def tensors_of(carried: Carried) -> list[torch.Tensor]:
    """The tensors of a carried state, in order."""
    if carried is None:
        return []
    if isinstance(carried, torch.Tensor):
        return [carried]
    return [tensor for part in carried for tensor in tensors_of(part)]


def with_tensors(carried: Carried, tensors: list[torch.Tensor]) -> Carried:
    """A state of the form of ``carried`` with its tensors taken from the front of the list ``tensors``."""
    if carried is None:
        return None
    if isinstance(carried, torch.Tensor):
        return tensors.pop(0)
    return tuple(with_tensors(part, tensors) for part in carried)


def detached(carried: Carried) -> Carried:
    """The same numbers cut off from their graph: where truncated backpropagation truncates."""
    return with_tensors(carried, [tensor.detach() for tensor in tensors_of(carried)])
