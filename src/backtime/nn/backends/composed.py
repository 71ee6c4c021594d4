"""A layer through time as plain torch operations: the path for what the engine does not do.

Slower than the engine, and good for everything that torch can do with its own operations: any device and
float type, second derivatives, ``torch.func``. Rows are dense (T, B, ...) or packed (R, ...).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from backtime.nn.backends.equations import LN_EPSILON, STEPS, product
from backtime.nn.types import Call, Options, States, Weights, autocast_on

Gates = dict[str, Tensor]
ROWWISE = ("keep_h", "keep_c", "reset")


class Result(NamedTuple):
    """``y`` (T, B, P) or (R, P), each sequence's last state, and what to trace at every step."""

    y: Tensor
    last: States
    states: States  # h, and c of the LSTM, rows as y
    gates: Gates  # rows as y


def forward(call: Call, x: Tensor, state: States, weights: Weights) -> Result:
    """One layer in one direction. ``state`` may be empty for zeros; ``x`` may be integers (one-hot)."""
    if autocast_on(x.device.type):  # the layer computes in its weights' type
        with torch.autocast(x.device.type, enabled=False):
            return forward(call, x, state, weights)
    sizes = None if call.batch_sizes is None else call.batch_sizes.tolist()
    zx = _steps(_input_product(x, weights), sizes)
    T = len(zx)
    B = (sizes[0] if sizes else 0) if sizes is not None else x.shape[1]
    state = state or zeros(call.cell, B, weights)
    run = _backwards if call.reverse else _forwards
    last, taken = run(call.cell, zx, state, weights, _options(call.options, sizes, T))
    states = tuple(_joined([s[n] for s, _ in taken], sizes, part) for n, part in enumerate(state))
    gates = {name: _joined([g[name] for _, g in taken], sizes, x) for name in (taken[0][1] if taken else ())}
    return Result(states[0], last, states, gates)


def run(call: Call, x: Tensor, state: States, weights: Weights) -> tuple[Tensor, States]:
    """``y`` and the last state alone."""
    return forward(call, x, state, weights)[:2]


Taken = list[tuple[States, Gates]]  # of each step, in the order of time


def _forwards(
    cell: str, zx: Sequence[Tensor], state: States, weights: Weights, options: list[Options]
) -> tuple[States, Taken]:
    """From the first step on; a sequence that has ended leaves with its state."""
    taken: Taken = []
    ended: list[States] = []
    for z, settings in zip(zx, options, strict=True):
        n = z.shape[0]  # not len: in a record it is a symbol
        if n < state[0].shape[0]:
            ended.append(tuple(s[n:] for s in state))
            state = tuple(s[:n] for s in state)
        taken.append(STEPS[cell](z, _cut(state, settings.get("reset")), weights, _rows(settings, n)))
        state = taken[-1][0]
    if not ended:
        return state, taken
    parts = [state, *reversed(ended)]
    return tuple(torch.cat([part[i] for part in parts]) for i in range(len(state))), taken


def _backwards(
    cell: str, zx: Sequence[Tensor], first: States, weights: Weights, options: list[Options]
) -> tuple[States, Taken]:
    """From the last step back; a sequence joins where its own end is. A cut falls between two steps."""
    taken: Taken = []
    state: States = tuple(s[:0] for s in first)
    for t in reversed(range(len(zx))):
        n, m = zx[t].shape[0], state[0].shape[0]
        if m < n:
            state = (
                tuple(torch.cat([s, s0[m:n]]) for s, s0 in zip(state, first, strict=True))
                if m
                else tuple(s0[:n] for s0 in first)
            )
        taken.append(STEPS[cell](zx[t], state, weights, _rows(options[t], n)))
        state = taken[-1][0]
        if t:
            state = _cut(state, options[t].get("reset"))
    n = state[0].shape[0]
    if n < first[0].shape[0]:  # sequences without a step
        state = tuple(torch.cat([s, s0[n:]]) for s, s0 in zip(state, first, strict=True))
    return state, taken[::-1]


def _input_product(x: Tensor, w: Weights) -> Tensor:
    """Of all rows at once; integers pick columns of ``Wx``."""
    if x.is_floating_point():
        return product(x, w.Wx, w.bx, w.gx)
    z = functional.embedding(x.long(), w.Wx.t())
    if w.gx is not None:
        return functional.layer_norm(z, w.gx.shape, w.gx, w.bx, LN_EPSILON)
    return z if w.bx is None else z + w.bx


def _steps(rows: Tensor, sizes: list[int] | None) -> Sequence[Tensor]:
    return rows.unbind(0) if sizes is None else torch.split(rows, sizes)


def _joined(parts: list[Tensor], sizes: list[int] | None, like: Tensor) -> Tensor:
    if not parts:
        return like.new_empty((0, *(like.shape if sizes is None else like.shape[1:])))
    return torch.stack(parts) if sizes is None else torch.cat(parts)


def zeros(cell: str, B: int, w: Weights) -> States:
    """The state before the first step."""
    h = w.Wx.new_zeros(B, w.Wh.shape[1])
    return (h, w.Wx.new_zeros(B, len(w.Wx) // 4)) if cell == "lstm" else (h,)


def _options(options: Options, sizes: list[int] | None, T: int) -> list[Options]:
    """The options of each step: those that have a value for every row give its rows."""
    rowwise = {name: options[name] for name in ROWWISE if isinstance(options.get(name), Tensor)}
    if not rowwise:
        return [options] * T
    pieces = {name: _steps(value, sizes) for name, value in rowwise.items()}
    return [options | {name: piece[t] for name, piece in pieces.items()} for t in range(T)]


def _rows(options: Options, n: int) -> Options:
    """The mask of the sequences that are still there."""
    mask = options.get("h_mask")
    return options if mask is None else options | {"h_mask": mask[:n]}


def _cut(state: States, reset: Tensor | None) -> States:
    """Zero where a new sequence begins; chosen, not multiplied, so that no NaN comes through."""
    if reset is None:
        return state
    return tuple(torch.where(reset[:, None], s.new_zeros(()), s) for s in state)
