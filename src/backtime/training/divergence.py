"""Is the run still sound, and if not, where did it break first?"""

import math
from collections.abc import Iterator

import torch

from backtime.errors import UsageError
from backtime.training.state import RunState
from backtime.training.task import Task

ATTEMPTS = 3  # rollbacks before giving up
PENALTY = 0.5  # factor on the learning rate at each


class DivergenceError(UsageError):
    """Training broke down again after every rollback: the settings must change."""


class Diverged(Exception):  # noqa: N818 (a message inside the loop, not an error that leaves it)
    """Raised inside the loop to start a rollback; the text says at which step and in which layer."""


def check_step(step: int, loss: float, norm: float, model: torch.nn.Module) -> None:
    """Raise ``Diverged`` when the loss of a step or its gradient's norm is not finite."""
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise Diverged(origin(step, loss, model))


def check_level(state: RunState, loss: float, task: Task) -> None:
    """Raise ``Diverged`` when ``loss`` (a mean) is not finite or above what the task calls diverged."""
    if state.start_loss is not None and not loss <= task.loss_limit(state.start_loss):  # NaN is caught too
        raise Diverged(
            f"step {state.step}: the loss is {loss:.4g}, at the start it was {state.start_loss:.4g}; "
            f"{_largest(task.model)}"
        )


def check_weights(step: int, model: torch.nn.Module) -> None:
    """Raise ``Diverged`` when a weight is not finite."""
    for name in _broken(model.named_parameters()):
        raise Diverged(f"step {step}: {name} is not finite")


def origin(step: int, loss: float, model: torch.nn.Module) -> str:
    """Names the first thing that is not finite, in the order of computation: weights, loss, gradients."""
    for name in _broken(model.named_parameters()):
        return f"step {step}: {name} is not finite"
    if not math.isfinite(loss):
        return f"step {step}: the loss is {loss}; {_largest(model)}"
    gradients = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    for name in _broken(reversed(gradients)):  # from the head down, as they are computed
        return f"step {step}: the gradient of {name} is not finite"
    return f"step {step}: the gradient is too large for its norm to be computed"


def _broken(
    tensors: "Iterator[tuple[str, torch.nn.Parameter]] | Iterator[tuple[str, torch.Tensor]]",
) -> Iterator[str]:
    return (name for name, tensor in tensors if not torch.isfinite(tensor).all())


def _largest(model: torch.nn.Module) -> str:
    sizes = {name: float(p.detach().abs().max()) for name, p in model.named_parameters()}
    name = max(sizes, key=lambda key: sizes[key])
    return f"largest weight {sizes[name]:.3g} in {name}"
