"""The witness from outside: the same layer in torch.nn."""

from typing import Any

import pytest

from backtime.reference.weights import Array
from cases import GATES, STATE, Case

PARAMETERS = {
    "Wx": "weight_ih_l0",
    "Wh": "weight_hh_l0",
    "bx": "bias_ih_l0",
    "bh": "bias_hh_l0",
    "Wy": "weight_hr_l0",  # the projection of the LSTM
}


def torch_copy(cell: str, *cases: Case, **arguments: Any) -> tuple[Any, dict[str, str]]:
    """A layer of torch.nn with the weights of a case, or of two for both directions, and their names in it.

    The names are those of the forward direction; the other's end in ``_reverse``.
    """
    torch = pytest.importorskip("torch")
    weights = cases[0].weights
    names = {w: n for w, n in PARAMETERS.items() if getattr(weights, w) is not None}
    if weights.Wy is not None:
        arguments["proj_size"] = len(weights.Wy)
    I, H = weights.Wx.shape[1], len(weights.Wx) // GATES[cell]
    kind: Any = getattr(torch.nn, cell.upper())
    layer = kind(I, H, dtype=torch.float64, bidirectional=len(cases) == 2, **arguments)
    parameters = {}
    for case, end in zip(cases, ("", "_reverse"), strict=False):
        parameters |= {n + end: torch.tensor(getattr(case.weights, w)) for w, n in names.items()}
    layer.load_state_dict(parameters)
    return layer, names


def torch_layer(cell: str, case: Case, **arguments: Any) -> dict[str, Array]:
    """``cases.train_step`` by torch.nn; of options it has the projection alone."""
    torch = pytest.importorskip("torch")
    layer, names = torch_copy(cell, case, **arguments)
    x = torch.tensor(case.x, requires_grad=True)
    state = [torch.tensor(s[None], requires_grad=True) for s in case.state]
    y, last = layer(x, tuple(state) if cell == "lstm" else state[0])
    ends = list(last) if cell == "lstm" else [last]
    energy = (y * torch.tensor(case.dy)).sum()
    energy = energy + sum((s[0] * torch.tensor(d)).sum() for s, d in zip(ends, case.dstate, strict=True))
    energy.backward()
    found = {"y": y.detach().numpy(), "dx": x.grad.numpy()}
    for name, end, start in zip(STATE[cell], ends, state, strict=True):
        found |= {f"{name[0]}T": end[0].detach().numpy(), f"d{name}": start.grad[0].numpy()}
    return found | {f"d{w}": getattr(layer, n).grad.numpy() for w, n in names.items()}
