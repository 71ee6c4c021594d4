"""Fixed points of a small cell with constant input: where its state stays, and whether it comes back there.

Found by Newton-like root finding (scipy) from many starts, and checked by running the cell: from a nearby
state a stable point draws the state in, an unstable one does not.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backtime.errors import UsageError
from backtime.insight.dynamics.jacobians import jacobian
from backtime.insight.layers.levels import Level, run_level
from backtime.insight.layers.recording import as_backtime, options_of, weight_names
from backtime.insight.steps.choice import step_of
from backtime.nn.layer import Recurrent
from backtime.nn.types import Call, States, Weights

Floats = NDArray[np.float64]
LARGEST = 256  # elements of a state: beyond it Newton's matrices take minutes
RESIDUAL = 1e-9  # |F(s) - s| of what counts as fixed
SAME = 1e-5  # states closer than that are one point
NUDGE, ROUNDS = 1e-5, 400  # of the check: how far away it starts, and how long it runs


@dataclass
class FixedPoint:
    """A state that the cell maps to itself."""

    state: Floats  # (S,)  h, or h and c
    residual: float  # |F(s) - s|
    eigenvalues: NDArray[np.complex128]  # (S,)  of the Jacobian there, the largest first
    returns: bool  # whether the cell, run from nearby, came back: the check

    @property
    def radius(self) -> float:
        """The largest |eigenvalue|: below 1 the point is stable."""
        return float(np.abs(self.eigenvalues[0]))

    @property
    def stable(self) -> bool:
        """Whether nearby states are drawn in, by the eigenvalues."""
        return self.radius < 1


def fixed_points(
    module: nn.Module, x: Tensor | None = None, starts: int = 64, seed: int = 0
) -> list[FixedPoint]:
    """Those of a layer of one level in one direction, under the constant input ``x`` (I,), zeros by default.

    The stable ones come first. Raises ``UsageError`` when the module is no such layer, or has a state of more
    than 256 numbers.
    """
    cell = _Cell(module, x)
    try:
        from scipy.optimize import root
    except ModuleNotFoundError as error:
        raise UsageError("fixed points need SciPy: pip install 'backtime[insight]'") from error
    found: list[FixedPoint] = []
    for start in cell.starts(starts, seed):
        solution = root(
            lambda s: cell.step(s[None])[0] - s, start, jac=lambda s: cell.slope(s) - np.eye(len(s))
        )
        state = np.asarray(solution.x, np.float64)
        residual = float(np.linalg.norm(cell.step(state[None])[0] - state))
        if (
            not residual < RESIDUAL
            or not cell.reaches(state)
            or any(np.linalg.norm(state - old.state) < SAME for old in found)
        ):
            continue
        values = np.linalg.eigvals(cell.slope(state))
        values = values[np.argsort(-np.abs(values))]
        found.append(FixedPoint(state, residual, values.astype(np.complex128), cell.returns(state, seed)))
    return sorted(found, key=lambda point: point.radius)


class _Cell:
    """One layer under constant input, in float64."""

    def __init__(self, module: nn.Module, x: Tensor | None) -> None:
        if not isinstance(module, Recurrent | nn.RNNBase) or module.num_layers > 1 or module.bidirectional:
            raise UsageError(
                f"module is {module}; expected an RNN, GRU or LSTM of one layer in one direction"
            )
        layer = as_backtime(module)
        fields = weight_names(layer)[0]
        self.weights = Weights(**{f: getattr(layer, name).detach().double() for f, name in fields.items()})
        self.options = options_of(layer)
        self.cell = layer.cell
        self.x = torch.zeros(layer.input_size) if x is None else x
        if self.x.shape != (layer.input_size,):
            raise UsageError(f"x has shape {tuple(self.x.shape)}; expected (I,) = ({layer.input_size},)")
        self.widths = [part.shape[-1] for part in self._level(None).after]
        if sum(self.widths) > LARGEST:
            raise UsageError(f"module has a state of {sum(self.widths)} numbers; expected at most {LARGEST}")

    def _level(self, states: Floats | None, steps: int = 1) -> Level:
        B = 1 if states is None else len(states)
        rows = self.x.double().expand(steps, B, -1)
        start: States = ()
        if states is not None:
            start = tuple(torch.split(torch.from_numpy(states), self.widths, -1))
        return run_level("", Call(self.cell, self.options), self.weights, {}, rows, start)

    def step(self, states: Floats, steps: int = 1) -> Floats:
        """(B, S)  The states after ``steps`` steps."""
        level = self._level(states, steps)
        return np.asarray(torch.cat([part[-1] for part in level.after], -1))

    def slope(self, state: Floats) -> Floats:
        """The Jacobian (S, S)."""
        level = self._level(np.ascontiguousarray(state[None]))
        return np.asarray(jacobian(level, step_of(level), 0)[0])

    def starts(self, count: int, seed: int) -> Floats:
        """States that the cell visits from random ones, some of them after a while."""
        generator = np.random.default_rng(seed)
        states = generator.uniform(-1, 1, (count, sum(self.widths)))
        late = self.step(states[: count // 2], 100)
        return np.concatenate([np.where(np.isfinite(late), late, 0), states[count // 2 :]])

    def reaches(self, state: Floats) -> bool:
        """Whether h is within the cell's bounds: a gru with shut gates is fixed beyond 1, too."""
        bounded = self.cell in ("gru", "lstm")
        return not bounded or bool((np.abs(state[: self.widths[0]]) <= 1).all())

    def returns(self, state: Floats, seed: int) -> bool:
        """Whether states nearby are closer after many steps."""
        nudges = np.random.default_rng(seed).normal(size=(8, len(state)))
        nudges *= NUDGE / np.linalg.norm(nudges, axis=1, keepdims=True)
        after = self.step(state + nudges, ROUNDS) - state
        return bool((np.linalg.norm(after, axis=1) < NUDGE).all())
