"""Which steps of a sequence decided an answer: the gradient times the input, and what is lost without a step.

For a score z and the inputs x_t of a recurrent layer

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
    probability: float
    steps: list[str]  # (T,)  what stands there, for people
    gradient: Floats  # (T,)
    occlusion: Floats  # (T,)

    @property
    def agreement(self) -> float:
        """Pearson's correlation of both; 0 where one is constant."""
        a, b = (own - own.mean() for own in (self.gradient, self.occlusion))
        size = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(a @ b) / size if size > 1e-12 else 0.0


def contributions(layer: nn.Module, score: Callable[[], Tensor]) -> tuple[Floats, Floats]:
    """``gradient`` and ``occlusion``, (T,) each, of ``score()``, which calls ``layer`` on one sequence.

    The layer's input is floats (T, 1, I) or (T, I), or a ``PackedSequence`` of one sequence.
    """
    seen: list[Tensor] = []

    def keep(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        rows = _rows(args[0]).detach().requires_grad_()
        seen.append(rows)
        return (_with(args[0], rows), *args[1:])

    with torch.enable_grad():
        z = _hooked(layer, keep, score)
        (gradient,) = torch.autograd.grad(z, seen[0])
    added = (seen[0] * gradient).detach().flatten(1).sum(1).double().cpu().numpy()
    whole = float(z.detach())
    return added, np.array([_without(layer, score, t, whole) for t in range(len(added))])


def _without(layer: nn.Module, score: Callable[[], Tensor], t: int, whole: float) -> float:
    def hide(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        rows = _rows(args[0]).detach().clone()
        rows[t] = 0
        return (_with(args[0], rows), *args[1:])

    with torch.no_grad():
        return whole - float(_hooked(layer, hide, score))


def _hooked(layer: nn.Module, hook: Any, score: Callable[[], Tensor]) -> Tensor:
    handle = layer.register_forward_pre_hook(hook)
    try:
        return score()
    finally:
        handle.remove()


def _rows(x: Any) -> Tensor:
    rows: Tensor = x.data if isinstance(x, PackedSequence) else x
    return rows


def _with(x: Any, rows: Tensor) -> Any:
    return PackedSequence(rows, *x[1:]) if isinstance(x, PackedSequence) else rows
