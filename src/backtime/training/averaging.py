"""Averaged SGD: the model is the mean of the weights of many steps (Polyak and Juditsky 1992).

Steps are plain SGD's. From the moment that validations stop getting better (the non-monotonic trigger of
Merity et al., arXiv 1708.02182) the mean of all weights since then is kept beside them. Steps go on from the
weights themselves; what is validated, saved as a model and used is the mean.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from backtime.training.metrics import Metric


class AveragedSGD(SGD):
    """SGD; after ``begin`` also the mean of the weights after each step, ``state[weight]["average"]``.

    The mean and the number of its steps are the optimiser's state: they are saved and loaded with it.
    """

    def begin(self) -> None:
        """The mean is that of the weights after the steps from the next one on."""
        for weight in self._weights():
            self.state[weight] = {"average": weight.detach().clone(), "step": torch.tensor(0.0)}

    @property
    def begun(self) -> bool:
        """Whether there is a mean."""
        return bool(self.state)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """A step of SGD, and its weights into the mean."""
        loss = super().step(closure)
        for weight in self._weights() if self.begun else ():
            slot = self.state[weight]
            slot["step"] += 1
            slot["average"].lerp_(weight, 1 / slot["step"].item())
        return loss

    def _weights(self) -> list[Tensor]:
        return [weight for group in self.param_groups for weight in group["params"]]


@contextlib.contextmanager
def averaged(optimiser: Optimizer) -> Iterator[None]:
    """In the block the weights are their means, where the optimiser keeps such."""
    if not (isinstance(optimiser, AveragedSGD) and optimiser.begun):
        yield
        return
    own = {weight: weight.detach().clone() for weight in optimiser.state}
    try:
        _set({weight: slot["average"] for weight, slot in optimiser.state.items()})
        yield
    finally:
        _set(own)


def is_due(value: float, before: list[float], interval: int, metric: Metric) -> bool:
    """Whether averaging begins: a validation is worse than the best of those over ``interval`` before it."""
    older = before[: max(0, len(before) - interval)]
    return any(metric.is_better(one, value) for one in older)


@torch.no_grad()
def _set(values: dict[Tensor, Tensor]) -> None:
    for weight, value in values.items():
        weight.copy_(value)
