"""What the loop asks of a task, and nothing more: the loop knows neither data nor models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from backtime.training.metrics import Metric

if TYPE_CHECKING:  # a task's file is read without PyTorch, for its options
    import torch

Carried = Any  # the hidden state between steps: None, a tensor, or nested tuples of tensors


class Task(Protocol):
    """A model with its training and validation data. A class that names it as its base inherits the defaults.

    Everything a step needs beside the weights, ``epoch``, ``step`` and ``carried`` must come from PyTorch's,
    NumPy's or Python's global random state, which saves keep: then a resumed run is exact.
    """

    steps_per_epoch: int
    metrics: tuple[Metric, ...]  # of ``validate``; the first one decides which model is best
    gradient_scale: float = 1.0  # of what ``loss`` returns: the gradient is that of scale * loss

    @property
    def model(self) -> torch.nn.Module:
        """What is trained."""

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """A step of an epoch, both from 0: the mean loss with its graph, the state after it, the count.

        The count is that of the numbers the mean is over: tokens, time steps, records. ``carried`` is what
        the step before returned, without its graph, and ``initial_state()`` at the start of an epoch.
        """

    def validate(self) -> dict[str, float]:
        """The value of each metric on the validation part, in eval mode; empty when there is no such part."""

    def save_model(self, path: Path) -> None:
        """Write the model file, whole or not at all."""

    def look(self, epoch: int, step: int) -> dict[str, float | str | None]:
        """How the gradient travels through time on that step's data: see ``insight.short``; empty if unknown.

        It changes nothing, the global random states among it.
        """
        return {}

    def initial_state(self) -> Carried:
        """The state at the start of an epoch; None where nothing is carried from step to step."""
        return None

    def loss_limit(self, start: float) -> float:
        """The loss above which the run has diverged; ``start`` is that of the untrained model.

        Twice that and one more: much worse than knowing nothing, and out of the reach of an unlucky batch.
        A loss that may be negative needs a limit of its own.
        """
        return 2 * start + 1
