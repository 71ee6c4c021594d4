"""A cell with any option (layer norm, peepholes, projection and so on), by autograd over one step."""

import torch
from torch import Tensor

from backtime.insight.layers.levels import Gradients, Level
from backtime.insight.steps.step import Taken
from backtime.nn.backends.composed import _input_product
from backtime.nn.backends.equations import STEPS
from backtime.nn.types import States


class AnyStep:
    """The rows of a step are repeated for every loss."""

    steady = False  # through a peephole dc may grow by itself

    def __init__(self, level: Level) -> None:
        """Nothing is computed beforehand."""
        self.level = level
        self.fields = [name for name, value in level.weights._asdict().items() if value is not None]
        self.full: Gradients | None = None
        self.dots: Tensor | None = None

    def enter(self, s: int, dstate: States) -> States:
        """The state as it is."""
        return dstate

    def back(self, s: int, entered: States, need_dx: bool) -> Taken:
        """Run the step again, recording it."""
        N, level = entered[0].shape[1], self.level

        def rows(values: Tensor) -> Tensor:
            own = values[s].detach().unsqueeze(1)
            return own.expand(-1, N, *own.shape[2:]).flatten(0, 1).clone()

        before = tuple(rows(part).requires_grad_() for part in level.before)
        x = rows(level.x)
        inputs = (*before, x.requires_grad_()) if need_dx else before
        with torch.enable_grad():
            new = STEPS[level.cell](_input_product(x, level.weights), before, level.weights, level.options)[0]
        upstream = [part.flatten(0, 1) for part in entered]
        found = torch.autograd.grad(new, inputs, upstream, allow_unused=True)
        filled = [
            (torch.zeros_like(i) if d is None else d).view(-1, N, i.shape[1])
            for d, i in zip(found, inputs, strict=True)
        ]
        dots = None
        if self.dots is not None:
            dots = torch.cat(entered, -1) @ self.dots[s]
        k = len(before)
        return Taken(tuple(filled[:k]), filled[k] if need_dx else None, dots)

    def aim(self, full: Gradients) -> None:
        """``<dW, G>`` is linear in the state's gradient u: what u is multiplied by is its derivative by u."""
        new, own = self._recorded(slice(None))
        upstream = [torch.zeros_like(part, requires_grad=True) for part in new]
        with torch.enable_grad():
            found = torch.autograd.grad(
                new, list(own.values()), upstream, create_graph=True, allow_unused=True
            )
            scalars = [(g * full[name]).sum() for name, g in zip(own, found, strict=True)]
        columns = []
        for scalar in scalars:
            along = torch.autograd.grad(scalar, upstream, retain_graph=True, allow_unused=True)
            parts = [torch.zeros_like(u) if d is None else d for d, u in zip(along, upstream, strict=True)]
            columns.append(torch.cat(parts, -1))
        T, B = self.level.x.shape[:2]
        self.dots = torch.stack(columns, -1).view(T, B, -1, len(columns))

    def _recorded(self, steps: slice) -> tuple[States, Gradients]:
        """The states after all rows of these steps, and the weights that they were computed with."""
        level = self.level
        own = {name: getattr(level.weights, name).detach().clone().requires_grad_() for name in self.fields}
        with torch.enable_grad():
            weights = level.weights._replace(**own)
            zx = _input_product(level.x[steps].flatten(0, 1), weights)
            before = tuple(part[steps].flatten(0, 1) for part in level.before)
            return STEPS[level.cell](zx, before, weights, level.options)[0], own

    def to_weights(self, steps: slice, sums: States, total: Gradients) -> None:
        """Sum by sum."""
        new, own = self._recorded(steps)
        for m in range(sums[0].shape[2]):
            upstream = [part[:, :, m].flatten(0, 1) for part in sums]
            grads = torch.autograd.grad(
                new, list(own.values()), upstream, retain_graph=True, allow_unused=True
            )
            for name, g in zip(own, grads, strict=True):
                if g is not None:
                    total[name][m] += g

    def line(self, s: int, came: States) -> Tensor | None:
        """Options move the line: it is not told apart."""
        return None

    def line_factor(self, s: int) -> Tensor:
        """Never asked for."""
        raise NotImplementedError
