"""Tensors as arrays for the kernels, and arrays back as tensors; one direction, or both at once."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

import backtime.kernels as kernels
from backtime.nn.tensors import Call, States
from backtime.reference.weights import Array
from backtime.reference.weights import Weights as Arrays

Calls = tuple[Call] | tuple[Call, Call]  # the forward direction, or it and the reverse one
Tensors = tuple[Tensor | None, ...]
Tape = kernels.Tape | kernels.BothTapes


def array(tensor: Tensor) -> Array:
    """The memory of a CPU tensor as a NumPy array; a copy only where it is not contiguous."""
    own = tensor if tensor.is_contiguous() else tensor.contiguous()
    return own.numpy(force=True)  # force: also where it requires grad


def optional(tensor: Tensor | None) -> Array | None:
    """``array``, or None."""
    return None if tensor is None else array(tensor)


def tensors(gradients: list[Array | None], wanted: tuple[bool, ...]) -> list[Tensor | None]:
    """Gradients as tensors, None for one that is not wanted."""
    from_numpy = torch.from_numpy
    pairs = zip(gradients, wanted, strict=True)
    return [from_numpy(g) if wants and g is not None else None for g, wants in pairs]


def forward_tensors(
    calls: Calls, save: bool, x: Tensor, weights: Tensors, state: States
) -> tuple[Tensor, list[Tensor], Tape | None]:
    """The kernels on the tensors' memory: ``y``, the last state, and the tape where ``save`` asks for it."""
    from_numpy = torch.from_numpy
    if len(calls) == 2:
        y, last, tapes = _forward_both(calls, save, x, weights, state)
        return from_numpy(y), [from_numpy(own_memory(part)) for part in last], tapes
    call = calls[0]
    start = tuple([array(s) for s in state]) if state else None
    y, last, tape = kernels.forward(call.cell, array(x), start, _arrays(weights), save=save, **_extras(call))
    return from_numpy(y), [from_numpy(own_memory(part)) for part in last], tape


def _forward_both(
    calls: tuple[Call, Call], save: bool, x: Tensor, weights: Tensors, state: States
) -> tuple[Array, tuple[Array, ...], kernels.BothTapes | None]:
    n, k, sizes = len(weights) // 2, len(state) // 2, calls[0].batch_sizes
    start = [array(s) for s in state]
    y, (last_f, last_r), tape = kernels.forward_both(
        calls[0].cell,
        array(x),
        (tuple(start[:k]), tuple(start[k:])) if k else None,
        (_arrays(weights[:n]), _arrays(weights[n:])),
        batch_sizes=None if sizes is None else sizes.numpy(),
        save=save,
        options=(_options(calls[0]), _options(calls[1])),
    )
    return y, last_f + last_r, tape


def backward_tensors(
    calls: Calls, tape: Tape, n: int, dy: Tensor | None, dlast: Tensors, need: tuple[bool, ...]
) -> list[Tensor | None]:
    """Gradients of x, the n weights and the state, each with memory of its own; None where not needed.

    The tape is used up.
    """
    need_dstate = True in need[1 + n :]
    up: Any = tuple([optional(d) for d in dlast]) if _some(dlast) else None
    if isinstance(tape, kernels.BothTapes):
        each = _backward_both(tape, n, optional(dy), up, need[0], need_dstate)
    else:
        dx, dstate, dweights = kernels.backward(
            tape, optional(dy), up, need_dx=need[0], need_dstate=need_dstate, last_use=True
        )
        each = [dx, *own_biases(dweights)[:n], *(dstate or ())]
    each += [None] * (len(need) - len(each))
    return tensors(each, need)


def _some(parts: Tensors) -> bool:
    """Whether one is there; a plain loop, for a generator costs more than the whole question."""
    for part in parts:  # noqa: SIM110
        if part is not None:
            return True
    return False


def _backward_both(
    tape: kernels.BothTapes, n: int, dy: Array | None, up: Any, need_dx: bool, need_dstate: bool
) -> list[Array | None]:
    k = len(up) // 2 if up else 0
    dx, dstates, dweights = kernels.backward_both(
        tape, dy, (up[:k], up[k:]) if up else None, need_dx=need_dx, need_dstate=need_dstate, last_use=True
    )
    own = [g for each in dweights for g in own_biases(each)[: n // 2]]
    return [dx, *own, *[part for dstate in dstates for part in dstate or ()]]


def own_biases(dweights: Arrays) -> Arrays:
    """The gradients of the two biases are equal for RNN and LSTM, but belong to two parameters."""
    bh = dweights.bh
    if bh is dweights.bx or isinstance(bh.base, np.ndarray):
        return dweights._replace(bh=bh.copy())
    return dweights


def own_memory(a: Array) -> Array:
    """A copy of what is a view of another array.

    The reference returns the last h as a view of y, and two outputs of autograd must not share memory.
    """
    return a.copy() if isinstance(a.base, np.ndarray) else a


def _arrays(weights: Tensors) -> Arrays:
    found = [optional(w) for w in weights]
    if found[2] is None:  # bias=False
        wx = found[0]
        assert wx is not None  # every cell has one
        found[2:4] = [np.zeros(len(wx), wx.dtype)] * 2
    return Arrays(*found)  # type: ignore[arg-type]


def _extras(call: Call) -> dict[str, Any]:
    """The keyword arguments of the kernels."""
    options = _options(call) if call.options else {}
    if call.batch_sizes is not None:
        options["batch_sizes"] = call.batch_sizes.numpy()
    if call.reverse:
        options["reverse"] = True
    return options


def _options(call: Call) -> dict[str, Any]:
    return {name: array(v) if isinstance(v, Tensor) else v for name, v in call.options.items()}
