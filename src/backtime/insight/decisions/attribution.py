"""Which steps of a sequence decided an answer: the gradient times the input, and what is lost without a step.

For a score z and the inputs x_t of a layer

    gradient_t  = sum_i x_ti dz/dx_ti            the first-order estimate of what step t adds to z
    occlusion_t = z(x) - z(x with x_t = 0)       what it really adds, one forward pass a step

They agree where z is linear in x_t. After Simonyan et al., arXiv 1312.6034, and Zeiler and Fergus, 1311.2901.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from backtime.insight.measures import Floats


@dataclass
class Decision:
    """One answer about one sequence of T steps, and what each step added to its score."""

    answer: str
    probability: float | None  # None: the answer is a number
    steps: list[str]  # (T,)  what stands there, for people
    gradient: Floats  # (T,)
    occlusion: Floats  # (T,)
    attention: Floats | None = None  # (T,)  how much the answer looked at each step, where a model looks

    @property
    def agreement(self) -> float:
        """Pearson's correlation of both; 0 where one is constant."""
        a, b = (own - own.mean() for own in (self.gradient, self.occlusion))
        size = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(a @ b) / size if size > 1e-12 else 0.0


def contributions(layer: nn.Module, scores: Callable[[], Tensor], axis: int = 0) -> tuple[Floats, Floats]:
    """``gradient`` and ``occlusion`` of ``scores()``, which calls ``layer`` on one sequence.

    They are (T,) each for one score, (M, T) for a tensor of M. The layer's input is floats with the T steps
    on ``axis``, such as (T, 1, I) or (T, I), or a ``PackedSequence`` of one sequence.
    """
    seen: list[Tensor] = []

    def keep(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        rows = _rows(args[0]).detach().requires_grad_()
        seen.append(rows)
        return (_with(args[0], rows), *args[1:])

    with torch.enable_grad():
        z = _hooked(layer, keep, scores)
        gradients = [_gradient(own, seen[0]) for own in z.reshape(-1)]
    added = [_by_step(seen[0] * own, axis) for own in gradients]
    whole = z.detach()
    lost = [whole - _without(layer, scores, axis, t) for t in range(seen[0].shape[axis])]
    shape = (*z.shape, seen[0].shape[axis])
    return np.array(added).reshape(shape), torch.stack(lost, -1).double().cpu().numpy()


def log_odds(z: Tensor, answers: Tensor) -> Tensor:
    """log p / (1 - p) of ``answers`` (M,) under the softmax of ``z`` (M, K): z_a less what the others have.

    It does not flatten where an answer is sure, and what is added to all of ``z`` alike is not in it.
    """
    own = z.gather(1, answers[:, None])
    others = z.scatter(1, answers[:, None], -torch.inf)
    found: Tensor = own[:, 0] - torch.logsumexp(others, 1)
    return found


def _gradient(score: Tensor, rows: Tensor) -> Tensor:
    """Zeros for a score that the layer has no part in: nothing about it can be lost there."""
    (found,) = torch.autograd.grad(score, rows, retain_graph=True, allow_unused=True)
    return torch.zeros_like(rows) if found is None else found


def _by_step(values: Tensor, axis: int) -> Floats:
    found: Floats = values.detach().movedim(axis, 0).flatten(1).sum(1).double().cpu().numpy()
    return found


def _without(layer: nn.Module, scores: Callable[[], Tensor], axis: int, t: int) -> Tensor:
    """The scores with step t at zero."""

    def hide(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        rows = _rows(args[0]).detach().clone()
        rows.movedim(axis, 0)[t] = 0
        return (_with(args[0], rows), *args[1:])

    with torch.no_grad():
        return _hooked(layer, hide, scores).detach()


def _hooked(layer: nn.Module, hook: Any, scores: Callable[[], Tensor]) -> Tensor:
    handle = layer.register_forward_pre_hook(hook)
    try:
        return scores()
    finally:
        handle.remove()


def _rows(x: Any) -> Tensor:
    rows: Tensor = x.data if isinstance(x, PackedSequence) else x
    return rows


def _with(x: Any, rows: Tensor) -> Any:
    return PackedSequence(rows, *x[1:]) if isinstance(x, PackedSequence) else rows
