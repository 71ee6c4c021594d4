"""The witness of backtime.insight: a stack unrolled with torch.nn's cells, one autograd pass for each loss.

Every step has weights of its own (copies), so that autograd tells which step a gradient belongs to.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

CELLS = {
    "rnn": lambda x, s, w: (torch._VF.rnn_tanh_cell(x, s[0], *w),),
    "relu": lambda x, s, w: (torch._VF.rnn_relu_cell(x, s[0], *w),),
    "gru": lambda x, s, w: (torch._VF.gru_cell(x, s[0], *w),),
    "lstm": lambda x, s, w: torch._VF.lstm_cell(x, s, *w),
}
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Unrolled(NamedTuple):
    """Nodes of the graph, [layer][step]."""

    h: list[list[Tensor]]
    c: list[list[Tensor]]
    weights: list[list[dict[str, Tensor]]]

    @property
    def y(self) -> Tensor:
        return torch.stack(self.h[-1])


def unroll(module: Any, x: Tensor, cell: str) -> Unrolled:
    """``x`` is (T, B, I), the state before it zero."""
    T, B = x.shape[:2]
    below = list(x)
    found = Unrolled([], [], [])
    for layer in range(module.num_layers):
        zeros = x.new_zeros(B, module.hidden_size)
        state: Any = (zeros, zeros) if cell == "lstm" else (zeros,)
        h, c, weights = [], [], []
        for t in range(T):
            own = {
                name: getattr(module, f"{name}_l{layer}").detach().clone().requires_grad_() for name in NAMES
            }
            state = CELLS[cell](below[t], state, list(own.values()))
            h.append(state[0])
            c.append(state[-1])
            weights.append(own)
        found.h.append(h)
        found.c.append(c)
        found.weights.append(weights)
        below = h
    return found


def norms(found: Unrolled, errors: list[Tensor], layer: int) -> Tensor:
    """|dE_t/dh_s| at [lag, t, sequence]; NaN where t - lag < 0."""
    T, B = len(errors), found.h[0][0].shape[0]
    out = torch.full((T, T, B), torch.nan, dtype=torch.float64)
    for t, error in enumerate(errors):
        grads = torch.autograd.grad(error, found.h[layer][: t + 1], retain_graph=True)
        for s, d in enumerate(grads):
            out[t - s, t] = d.norm(dim=-1)
    return out


def lag_gradients(found: Unrolled, errors: list[Tensor], layer: int, name: str) -> list[Tensor]:
    """g_k of one weight, k = 0 .. T-1."""
    T = len(errors)
    out = [torch.zeros_like(found.weights[layer][0][name]) for _ in range(T)]
    for t, error in enumerate(errors):
        leaves = [own[name] for own in found.weights[layer][: t + 1]]
        for s, d in enumerate(torch.autograd.grad(error, leaves, retain_graph=True)):
            out[t - s] += d
    return out
