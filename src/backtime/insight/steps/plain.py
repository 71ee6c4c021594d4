"""What the cells without options share.

For one step and sequence everything between two states is a product with one small matrix, the transposed
Jacobian, which all losses share. What it is made of does not depend on the gradient and is computed once for
all steps. Large tensors are written into memory that is there already: fresh pages cost as much as a product.
"""

import torch
from torch import Tensor

from backtime.insight.layers.levels import Gradients, Level
from backtime.insight.steps.step import Taken
from backtime.nn.types import States


class PlainStep:
    """A part p of what enters goes to the gates ``gates[p]``.

    ``to_x[p]`` and ``to_h[p]`` (T, B, gates, H) are what it is multiplied by on its way to each
    pre-activation, on the side of the input and of the hidden state.
    """

    steady = True
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
        B = level.after[0].shape[1]
        self.matrix = self.Wh.new_empty(B, self.H, self.H)
        self.spare = self.Wh.new_empty(B, 0, self.H)

    def enter(self, s: int, dstate: States) -> States:
        """The state as it is; the lstm adds what h hands to c."""
        return dstate

    def back(self, s: int, entered: States, need_dx: bool) -> Taken:
        """``dh = dz Wh``, ``dx = dz Wx``."""
        dh = self.spare if self.spare.shape == entered[0].shape else torch.empty_like(entered[0])
        for p, part in enumerate(entered):
            matrix = _blend(self.to_h[p][s], self.Wh, self.gates[p], self.matrix)
            _product(part, matrix, dh, p > 0)
        dx = self._dx(s, entered) if need_dx else None
        dots = None
        if self.dots is not None:
            dots = entered[0] @ self.dots[0][s]
            for part, met in zip(entered[1:], self.dots[1:], strict=True):
                dots.baddbmm_(part, met[s])
        before = self.past(s, dh, entered)
        self.spare = entered[0]
        return Taken(before, dx, dots)

    def past(self, s: int, dh: Tensor, entered: States) -> States:
        """The state before: what came through Wh, with what went past it."""
        return (dh,)

    def _dx(self, s: int, entered: States) -> Tensor:
        dx = entered[0].new_empty(*entered[0].shape[:2], self.Wx.shape[2])
        matrix = dx.new_empty(len(dx), *self.Wx.shape[1:])
        for p, part in enumerate(entered):
            _product(part, _blend(self.to_x[p][s], self.Wx, self.gates[p], matrix), dx, p > 0)
        return dx

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

    def to_weights(self, steps: slice, sums: States, total: Gradients) -> None:
        """``dWx += dz^T x``, ``dWh += dz^T h``, ``db`` the sum over rows."""
        dzh = self._gates(steps, sums, self.to_h)
        dzx = dzh if self.to_x is self.to_h else self._gates(steps, sums, self.to_x)
        x, h = self.level.x[steps].flatten(0, 1), self.level.before[0][steps].flatten(0, 1)
        _add_outer(total["Wx"], dzx, x)
        _add_outer(total["Wh"], dzh, h)
        if "bx" in self.fields:
            dbx = dzx.sum(0)
            total["bx"] += dbx
            total["bh"] += dbx if dzh is dzx else dzh.sum(0)

    def _gates(self, steps: slice, sums: States, factors: list[Tensor]) -> Tensor:
        """(R, M, G*H)  dz of every row and sum."""
        S, B, M, H = sums[0].shape
        dz = sums[0].new_empty(S, B, M, len(self.Wh), H)
        for p, (part, gates) in enumerate(zip(sums, self.gates, strict=True)):
            for n, gate in enumerate(gates):
                torch.mul(part, factors[p][steps, :, n].unsqueeze(2), out=dz[:, :, :, gate])
        return dz.view(S * B, M, -1)

    def line(self, s: int, came: States) -> Tensor | None:
        """No line."""
        return None

    def line_factor(self, s: int) -> Tensor:
        """Never asked for."""
        raise NotImplementedError


def _product(rows: Tensor, matrix: Tensor, out: Tensor, add: bool) -> None:
    if add:
        out.baddbmm_(rows, matrix)
    else:
        torch.bmm(rows, matrix, out=out)


def _blend(factors: Tensor, weights: Tensor, gates: list[int], out: Tensor) -> Tensor:
    """(B, H, K)  The sum over gates of factors (B, gates, H) times the rows of weights (G, H, K)."""
    torch.mul(factors[:, 0, :, None], weights[gates[0]], out=out)
    for n, gate in enumerate(gates[1:], 1):
        out.addcmul_(factors[:, n, :, None], weights[gate])
    return out


def _add_outer(total: Tensor, dz: Tensor, x: Tensor) -> None:
    """Add to (M, G*H, I) the sum over rows of dz times x; integers x stand for one-hot rows."""
    M, GH, I = total.shape
    rows = dz.view(-1, M * GH)
    if x.is_floating_point():
        total.view(M * GH, I).addmm_(rows.T, x)
    else:
        total += rows.new_zeros(I, M * GH).index_add_(0, x.long(), rows).T.reshape(M, GH, I)
