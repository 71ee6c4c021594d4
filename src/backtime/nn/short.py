"""The short way of the commonest calls: one direction, no options, a dense batch on the CPU.

A call of one step and one sequence takes the engine some 10 us; what the general way looks at takes longer.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import backtime.kernels as kernels
from backtime.nn import autograd, paths
from backtime.nn.tensors import Call, States

ALONE = {cell: (Call(cell, {}, stacked=True, direct=True),) for cell in ("rnn", "gru", "lstm")}
AMONG_OTHERS = {cell: (Call(cell, {}, direct=True),) for cell in ("rnn", "gru", "lstm")}
PLAIN = autograd.PLAIN
Layers = list[tuple[Tensor, ...]]  # the weights of each layer


def run(layer: Any, x: Any, hx: States | None) -> tuple[Tensor, States] | None:
    """``y`` and the last state in the caller's form; None where this is another call, or a wrong one."""
    if layer.bidirectional or layer.proj_size or not layer.bias or not layer.settings.plain:
        return None
    if kernels.choose("auto") != "native":
        return None
    weights = _weights(layer)
    if weights is None or not _fits(layer, x, weights[0][0]) or paths.watched(x):
        return None
    rows = x.transpose(0, 1) if layer.batch_first else x
    shape = (len(weights), rows.shape[1], layer.hidden_size)
    if hx is not None and not _state_fits(hx, shape, weights[0][0]):
        return None
    try:
        y, last = _run(layer, rows, weights, hx)
    except (TypeError, ValueError):  # weights that do not fit one another: the general way says which
        return None
    return y.transpose(0, 1) if layer.batch_first else y, last


def _run(layer: Any, x: Tensor, weights: Layers, hx: States | None) -> tuple[Tensor, States]:
    if len(weights) == 1:
        return autograd.run_tensors(ALONE[layer.cell], x, weights[0], hx or ())
    return _run_stacked(layer, x, weights, hx)


def _run_stacked(layer: Any, y: Tensor, weights: Layers, hx: States | None) -> tuple[Tensor, States]:
    """One layer after the other, with dropout between them."""
    calls, share = AMONG_OTHERS[layer.cell], layer.dropout if layer.training else 0.0
    starts: list[States] = list(zip(*[s.unbind(0) for s in hx], strict=True)) if hx else [()] * len(weights)
    ends = []
    for n, own in enumerate(weights):
        if n and share:
            y = functional.dropout(y, share, True)
        y, last = autograd.run_tensors(calls, y, own, starts[n])
        ends.append(last)
    return y, tuple([torch.stack(parts) for parts in zip(*ends, strict=True)])


def _weights(layer: Any) -> Layers | None:
    """Of every layer; None where one is computed, as by weight norm, or is not the engine's."""
    own = layer._parameters
    found = [tuple([own.get(name) for name in names[:PLAIN]]) for names in layer._names]
    for Wx, Wh, bx, bh in found:
        if Wx is None or Wh is None or bx is None or bh is None or paths.obstacle(Wx) is not None:
            return None
    return found


def _fits(layer: Any, x: Any, like: Tensor) -> bool:
    """Floats (T, B, I), or (B, T, I), and at least one."""
    if type(x) is not Tensor or x.layout is not torch.strided or x.is_nested:
        return False
    if x.ndim != 3 or x.dtype is not like.dtype or not x.is_cpu:
        return False
    return x.shape[2] == layer.input_size and x.numel() > 0


def _state_fits(parts: States, shape: tuple[int, int, int], like: Tensor) -> bool:
    for part in parts:
        if type(part) is not Tensor or part.layout is not torch.strided or part.shape != shape:
            return False
        if part.dtype is not like.dtype or not part.is_cpu:
            return False
    return True
