"""One step of a layer backwards, for the gradients of many losses at once.

The rnn, the gru and the lstm without options are written out by hand, in the letters of docs/rnn.md,
docs/gru.md and docs/lstm.md. For one step and sequence everything between two states is a product with one
small matrix, the transposed Jacobian, which all losses share; what it is made of does not depend on the
gradient and is computed once for all steps. A layer with options (layer norm, peepholes, zoneout, projection
and so on) goes through autograd, one step at a time.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from backtime.insight.layers.levels import Level
from backtime.nn.backends.composed import _input_product
from backtime.nn.backends.equations import STEPS
from backtime.nn.types import States

Gradients = dict[str, Tensor]  # field of ``Weights`` -> its gradient


class Taken(NamedTuple):
    """What one step back gives for N losses of B sequences."""

    before: States  # (B, N, .)  the gradient at the state before the step
    dx: Tensor | None  # (B, N, I)  and at the input
    dots: Tensor | None  # (B, N, F)  <gradient of the weights, G>, in the order of ``fields``


class Step(Protocol):
    """The steps of one layer."""

    fields: list[str]  # of the weights that have a gradient

    def enter(self, s: int, dstate: States) -> States:
        """Take the gradient at the state after step s, parts (B, N, .), to where the weights meet it."""

    def back(self, s: int, entered: States, need_dx: bool) -> Taken:
        """From there one step back."""

    def to_weights(self, steps: slice, sums: States) -> Gradients:
        """The weights' gradients, (M, ...), of M sums of what entered at each step: parts (S, B, M, .)."""

    def aim(self, full: Gradients) -> None:
        """Have ``back`` give the inner products with these gradients, ``dots``."""

    def line(self, s: int, injected: States | None, above: Tensor | None) -> Tensor | None:
        """What comes new to the line's state at step s; None where the cell has no line."""

    def line_factor(self, s: int) -> Tensor:
        """(B, 1, H)  What the line's state is multiplied by on the way to the step before."""


class PlainStep:
    """What rnn, gru and lstm share. A part p of what enters goes to the gates ``gates[p]``.

    ``to_x[p]`` and ``to_h[p]`` (T, B, gates, H) are what it is multiplied by on its way to each
    pre-activation, on the side of the input and of the hidden state.
    """

    gates: list[list[int]]
    to_x: list[Tensor]
    to_h: list[Tensor]

    def __init__(self, level: Level) -> None:
        """Keep the level; each cell adds its factors."""
        self.level = level
        self.fields = [name for name, value in level.weights._asdict().items() if value is not None]
        self.dots: list[Tensor] | None = None
        self.H = level.weights.Wh.shape[1]
        G = len(level.weights.Wh) // self.H
        self.Wh = level.weights.Wh.view(G, self.H, self.H)
        self.Wx = level.weights.Wx.view(G, self.H, -1)

    def enter(self, s: int, dstate: States) -> States:
        """The state as it is; the lstm adds what h hands to c."""
        return dstate

    def back(self, s: int, entered: States, need_dx: bool) -> Taken:
        """``dh = dz Wh``, ``dx = dz Wx``, as one product for each part."""
        found: Tensor | None = None
        for p, part in enumerate(entered):
            matrix = self._matrix(s, p, need_dx)
            found = torch.bmm(part, matrix) if found is None else found.baddbmm_(part, matrix)
        assert found is not None
        I = self.Wx.shape[2] if need_dx else 0
        dh, dx, dots = torch.split(found, [self.H, I, found.shape[2] - self.H - I], -1)
        return Taken(self.past(s, dh, entered), dx if need_dx else None, dots if self.dots else None)

    def past(self, s: int, dh: Tensor, entered: States) -> States:
        """The state before: what came through Wh, with what went past it."""
        return (dh,)

    def _matrix(self, s: int, p: int, need_dx: bool) -> Tensor:
        """(B, H, H [+ I] [+ F])  From part p to dh, dx and the inner products."""
        gates = self.gates[p]
        parts = [_blend(self.to_h[p][s], self.Wh, gates)]
        if need_dx:
            parts.append(_blend(self.to_x[p][s], self.Wx, gates))
        if self.dots is not None:
            parts.append(self.dots[p][s])
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

    def aim(self, full: Gradients) -> None:
        """``<dz^T x, G> = dz . (G x)``: what each part is multiplied by to give it, (T, B, H, F)."""
        T, B = self.level.x.shape[:2]
        self.dots = []
        for p, gates in enumerate(self.gates):
            columns = []
            for name in self.fields:
                met = self._met(name, full[name]).expand(T, B, -1).view(T, B, -1, self.H)[:, :, gates]
                factor = self.to_h[p] if name in ("Wh", "bh") else self.to_x[p]
                columns.append((met * factor).sum(2))
            self.dots.append(torch.stack(columns, -1))

    def _met(self, name: str, full: Tensor) -> Tensor:
        """(T, B, G*H), or (G*H,): the product of a weight's gradient with what the weight meets."""
        if name == "Wh":
            return self.level.before[0] @ full.T
        if name != "Wx":
            return full
        x = self.level.x
        return x @ full.T if x.is_floating_point() else full.T[x.long()]

    def to_weights(self, steps: slice, sums: States) -> Gradients:
        """``dWx = dz^T x``, ``dWh = dz^T h``, ``db`` the sum over rows."""
        dzh = self._gates(steps, sums, self.to_h)
        dzx = dzh if self.to_x is self.to_h else self._gates(steps, sums, self.to_x)
        x, h = self.level.x[steps].flatten(0, 1), self.level.before[0][steps].flatten(0, 1)
        found = {"Wx": _outer(dzx, x, self.Wx.shape[2]), "Wh": _outer(dzh, h, self.H)}
        if "bx" in self.fields:
            found |= {"bx": dzx.sum(0), "bh": dzh.sum(0)}
        return found

    def _gates(self, steps: slice, sums: States, factors: list[Tensor]) -> Tensor:
        """(R, M, G*H)  dz of every row and sum."""
        S, B, M, H = sums[0].shape
        dz = sums[0].new_empty(S, B, M, len(self.Wh), H)
        for p, (part, gates) in enumerate(zip(sums, self.gates, strict=True)):
            for n, gate in enumerate(gates):
                torch.mul(part, factors[p][steps, :, n].unsqueeze(2), out=dz[:, :, :, gate])
        return dz.view(S * B, M, -1)

    def line(self, s: int, injected: States | None, above: Tensor | None) -> Tensor | None:
        """No line."""
        return None

    def line_factor(self, s: int) -> Tensor:
        """Never asked for."""
        raise NotImplementedError


class RnnStep(PlainStep):
    """``h = f(z)``, ``z = Wx x + Wh h + b``: ``dz = dh f'(z)``."""

    def __init__(self, level: Level) -> None:
        """The slopes f'(z)."""
        super().__init__(level)
        h, activation = level.after[0], level.options.get("activation", "tanh")
        if activation == "tanh":
            slope = 1 - h * h
        elif activation == "sigmoid":
            slope = h * (1 - h)
        else:
            slope = torch.ones_like(h) if activation == "identity" else (level.gates["z"] > 0).to(h.dtype)
        self.gates = [[0]]
        self.to_x = self.to_h = [slope.unsqueeze(2)]


class GruStep(PlainStep):
    """``h = (1 - z) n + z h``, ``n = tanh(zn_x + r m)``, ``m = Wh_n h + bh_n``."""

    def __init__(self, level: Level) -> None:
        """From dh to r, z, n; the reset gate stands between n and the hidden state."""
        super().__init__(level)
        r, z, n = (level.gates[name] for name in "rzn")
        m = level.before[0] @ self.Wh[2].T
        if level.weights.bh is not None:
            m = m + level.weights.bh[2 * self.H :]
        to_n = (1 - z) * (1 - n * n)
        to_z = (level.before[0] - n) * z * (1 - z)
        to_r = to_n * m * r * (1 - r)
        self.z = z
        self.gates = [[0, 1, 2]]
        self.to_x = [torch.stack([to_r, to_z, to_n], 2)]
        self.to_h = [torch.stack([to_r, to_z, to_n * r], 2)]

    def past(self, s: int, dh: Tensor, entered: States) -> States:
        """``z dh`` goes straight on."""
        return (torch.addcmul(dh, entered[0], self.z[s].unsqueeze(1)),)

    def line(self, s: int, injected: States | None, above: Tensor | None) -> Tensor | None:
        """The line is h itself."""
        return above if injected is None else injected[0] if above is None else injected[0] + above

    def line_factor(self, s: int) -> Tensor:
        """``z``."""
        return self.z[s].unsqueeze(1)


class LstmStep(PlainStep):
    """``c = f c + i g``, ``h = o tanh(c)``."""

    def __init__(self, level: Level) -> None:
        """From dh to o, from dc to i, f, g."""
        super().__init__(level)
        i, f, g, o = (level.gates[name] for name in "ifgo")
        tanh_c = torch.tanh(level.after[1])
        self.f = f
        self.into_c = o * (1 - tanh_c * tanh_c)  # dc gains dh times this
        to_i, to_f, to_g = g * i * (1 - i), level.before[1] * f * (1 - f), i * (1 - g * g)
        self.gates = [[3], [0, 1, 2]]
        self.to_x = self.to_h = [(tanh_c * o * (1 - o)).unsqueeze(2), torch.stack([to_i, to_f, to_g], 2)]

    def enter(self, s: int, dstate: States) -> States:
        """dh, and dc with what h hands to it."""
        dh, dc = dstate
        return dh, torch.addcmul(dc, dh, self.into_c[s].unsqueeze(1))

    def past(self, s: int, dh: Tensor, entered: States) -> States:
        """``f dc`` goes straight on along the cell line."""
        return dh, entered[1] * self.f[s].unsqueeze(1)

    def line(self, s: int, injected: States | None, above: Tensor | None) -> Tensor | None:
        """The line is c; what comes to h shows in it."""
        if injected is not None:
            dh, dc = injected
            return self.enter(s, (dh if above is None else dh + above, dc))[1]
        return None if above is None else above * self.into_c[s].unsqueeze(1)

    def line_factor(self, s: int) -> Tensor:
        """``f``."""
        return self.f[s].unsqueeze(1)


class AnyStep:
    """A cell with any option, by autograd over one step whose rows are repeated for every loss."""

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

    def to_weights(self, steps: slice, sums: States) -> Gradients:
        """Sum by sum."""
        new, own = self._recorded(steps)
        found: dict[str, list[Tensor]] = {name: [] for name in own}
        for m in range(sums[0].shape[2]):
            upstream = [part[:, :, m].flatten(0, 1) for part in sums]
            grads = torch.autograd.grad(
                new, list(own.values()), upstream, retain_graph=True, allow_unused=True
            )
            for name, g in zip(own, grads, strict=True):
                found[name].append(torch.zeros_like(own[name]) if g is None else g)
        return {name: torch.stack(each) for name, each in found.items()}

    def line(self, s: int, injected: States | None, above: Tensor | None) -> Tensor | None:
        """Options move the line: it is not told apart."""
        return None

    def line_factor(self, s: int) -> Tensor:
        """Never asked for."""
        raise NotImplementedError


def _blend(factors: Tensor, weights: Tensor, gates: list[int]) -> Tensor:
    """(B, H, K)  The sum over gates of factors (B, gates, H) times the rows of weights (G, H, K)."""
    found = factors[:, 0, :, None] * weights[gates[0]]
    for n, gate in enumerate(gates[1:], 1):
        found.addcmul_(factors[:, n, :, None], weights[gate])
    return found


def _outer(dz: Tensor, x: Tensor, width: int) -> Tensor:
    """(M, G*H, I)  The sum over rows of dz times x; integers x stand for one-hot rows."""
    R, M, GH = dz.shape
    if x.is_floating_point():
        return (dz.view(R, M * GH).T @ x).view(M, GH, width)
    columns = dz.new_zeros(width, M * GH).index_add_(0, x.long(), dz.view(R, M * GH))
    return columns.T.reshape(M, GH, width)


PLAIN: dict[str, type[PlainStep]] = {"rnn": RnnStep, "gru": GruStep, "lstm": LstmStep}
PLAIN_OPTIONS = {"activation", "reset_after"}


def step_of(level: Level) -> Step:
    """By hand where the layer is plain, by autograd where not."""
    options = level.options
    plain = set(options) <= PLAIN_OPTIONS and options.get("reset_after", True)
    if plain and level.cell in PLAIN and not any(part is not None for part in level.weights[4:]):
        return PLAIN[level.cell](level)
    return AnyStep(level)
