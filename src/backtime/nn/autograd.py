"""From autograd to the kernels and back: NumPy views of tensors, the tape, and what backward returns."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import Function

from backtime import kernels
from backtime.nn import composed
from backtime.nn.tensors import Call, States, Weights
from backtime.reference.weights import Array
from backtime.reference.weights import Weights as Arrays

PLAIN = 4  # weights of a layer without options


def run_kernels(call: Call, x: Tensor, state: States, weights: Weights) -> tuple[Tensor, States]:
    """One layer in one direction by the kernels; records for autograd when it is on."""
    if torch.is_grad_enabled():
        plain = weights.Wy is None and weights.p is None and weights.gx is None
        own = weights[:PLAIN] if plain else weights  # each argument of apply costs half a microsecond
        y, *last = _Layer.apply(call, len(own), x, *own, *state)  # type: ignore[no-untyped-call]
        return y, tuple(last)
    y, last, _ = forward_arrays(call, False, x, weights, state)
    return y, tuple(last)


def array(tensor: Tensor) -> Array:
    """The memory of a CPU tensor as a NumPy array; a copy only where it is not contiguous."""
    return tensor.contiguous().numpy(force=True)  # force: also where it requires grad


def tensors(gradients: list[Array | None]) -> tuple[Tensor | None, ...]:
    """Gradients as tensors, each with memory of its own."""
    return tuple(None if g is None else torch.from_numpy(g) for g in gradients)


class _Layer(Function):
    """One recurrent layer. Arguments: the call, the number n of weights, x, the weights, then the state."""

    @staticmethod
    def forward(ctx: Any, call: Call, n: int, x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        y, last, ctx.tape = forward_arrays(call, any(ctx.needs_input_grad), x, tensors[:n], tensors[n:])
        ctx.call, ctx.n = call, n
        ctx.set_materialize_grads(False)
        # y too: the tape reads these tensors' memory, and saving them makes torch notice a change in place
        ctx.save_for_backward(x, *tensors, y)
        return y, *last

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *dlast: Tensor | None) -> tuple[Any, ...]:
        need, n = ctx.needs_input_grad[2:], ctx.n
        if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
            return None, None, *_composed_backward(ctx, need, (dy, *dlast))
        found = kernels.backward(
            _take_tape(ctx),
            optional(dy),
            tuple(map(optional, dlast)),
            need_dx=need[0],
            need_dstate=any(need[1 + n :]),
        )
        dweights = own_biases(found.dweights)
        each = [found.dx, *dweights[:n], *(found.dstate or [None] * len(dlast))]
        return None, None, *tensors([g if wanted else None for g, wanted in zip(each, need, strict=False)])


def own_biases(dweights: Arrays) -> Arrays:
    """The gradients of the two biases are equal for RNN and LSTM, but belong to two parameters."""
    if np.may_share_memory(dweights.bx, dweights.bh):
        return dweights._replace(bh=dweights.bh.copy())
    return dweights


def _composed_backward(
    ctx: Any, need: tuple[bool, ...], upstream: tuple[Tensor | None, ...]
) -> list[Tensor | None]:
    """Gradients that can be differentiated again: those of the composed operations on the same tensors."""
    saved, n = ctx.saved_tensors[:-1], ctx.n
    with torch.enable_grad():
        x, *rest = saved
        y, last, *_ = composed.forward(ctx.call, x, tuple(rest[n:]), Weights(*rest[:n]))
    outputs = [
        (o, d) for o, d in zip((y, *last), upstream, strict=False) if d is not None and o.requires_grad
    ]
    wanted = [t for t, wants in zip(saved, need, strict=True) if wants]
    found = iter(
        torch.autograd.grad(
            [o for o, _ in outputs],
            wanted,
            [d for _, d in outputs],
            create_graph=torch.is_grad_enabled(),
            allow_unused=True,
        )
        if outputs
        else [None] * len(wanted)
    )
    return [next(found) if wants else None for wants in need]


def forward_arrays(
    call: Call, save: bool, x: Tensor, weights: Any, state: States
) -> tuple[Tensor, list[Tensor], kernels.Tape | None]:
    """The kernels on the tensors' memory: ``y``, the last state, and the tape where ``save`` asks for it."""
    start = tuple([array(s) for s in state]) or None
    y, last, tape = kernels.forward(call.cell, array(x), start, _arrays(weights), save=save, **_extras(call))
    # an engine may return the last h as a view of y: two outputs of autograd must not share memory
    own = [s.copy() if np.may_share_memory(s, y) else s for s in last]
    return torch.from_numpy(y), [torch.from_numpy(s) for s in own], tape


def _arrays(weights: Any) -> Arrays:
    Wx, Wh, bx, bh, *options = weights
    wx = array(Wx)
    zeros = np.zeros(len(wx), wx.dtype) if bx is None else None  # bias=False
    own = (wx, array(Wh), array(bx) if zeros is None else zeros, array(bh) if zeros is None else zeros)
    return Arrays(*own, *map(optional, options))  # options: none, or all seven


def _extras(call: Call) -> dict[str, Any]:
    """The keyword arguments of the kernels."""
    options = {name: array(v) if isinstance(v, Tensor) else v for name, v in call.options.items()}
    if call.batch_sizes is not None:
        options["batch_sizes"] = call.batch_sizes.numpy()
    if call.reverse:
        options["reverse"] = True
    return options


def _take_tape(ctx: Any) -> kernels.Tape:
    """The tape, used once so that its memory goes as early as PyTorch's own saved tensors.

    A second pass through a retained graph runs the layer again from its saved inputs.
    """
    x, *rest, _y = ctx.saved_tensors  # raises when one was changed in place, or the graph was not retained
    kept, ctx.tape = ctx.tape, None
    if kept is None:
        kept = forward_arrays(ctx.call, True, x, rest[: ctx.n], tuple(rest[ctx.n :]))[2]
    tape: kernels.Tape = kept
    return tape


def optional(tensor: Tensor | None) -> Array | None:
    """``array``, or None."""
    return None if tensor is None else array(tensor)
