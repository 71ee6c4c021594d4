"""From autograd to the kernels and back: NumPy views of tensors, the tape, and what backward returns."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import Function

from backtime import kernels
from backtime.errors import UsageError
from backtime.reference.weights import Array, Weights

Parameters = tuple[Tensor, Tensor, Tensor | None, Tensor | None]  # Wx, Wh, bx, bh as in Weights
Options = dict[str, Any]


def run_layer(
    cell: str, options: Options, x: Tensor, state: tuple[Tensor, ...], weights: Parameters
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One layer over a time-major sequence: ``y`` (T, B, H) and the last state, each (B, H).

    ``x`` is (T, B, I), or (T, B) integers for one-hot input; ``state`` is ``(h0,)`` or ``(h0, c0)``, or empty
    for zeros. Records for autograd when it is on; otherwise nothing is kept.
    """
    if torch.is_grad_enabled():
        y, *last = _Layer.apply(cell, options, x, *weights, *state)  # type: ignore[no-untyped-call]
        return y, tuple(last)
    y, last, _ = _forward(cell, options, False, x, weights, state)
    return y, tuple(last)


def array(tensor: Tensor) -> Array:
    """The memory of a CPU tensor as a NumPy array; a copy only where it is not contiguous."""
    return tensor.contiguous().numpy(force=True)  # force: also where it requires grad


def tensors(gradients: list[Array | None]) -> tuple[Tensor | None, ...]:
    """Gradients as tensors, each with memory of its own, and an error in wait for who differentiates them."""
    out = tuple(None if g is None else torch.from_numpy(g) for g in gradients)
    if not torch.is_grad_enabled():
        return out
    # create_graph=True: a second derivative of these would be silently wrong without this
    return tuple(None if g is None else _FirstOrderOnly.apply(g.requires_grad_()) for g in out)  # type: ignore[no-untyped-call]


class _Layer(Function):
    """One recurrent layer. Arguments: cell, options, x, Wx, Wh, bx, bh, then the state."""

    @staticmethod
    def forward(ctx: Any, cell: str, options: Options, x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        y, last, ctx.tape = _forward(cell, options, any(ctx.needs_input_grad), x, tensors[:4], tensors[4:])
        ctx.cell, ctx.options = cell, options
        ctx.set_materialize_grads(False)
        # y too: the tape reads these tensors' memory, and saving them makes torch notice a change in place
        ctx.save_for_backward(x, *tensors, y)
        return y, *last

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *dlast: Tensor | None) -> tuple[Any, ...]:
        tape = _take_tape(ctx)
        need = ctx.needs_input_grad
        dx, dstate, dweights = kernels.backward(
            tape,
            _optional(dy),
            tuple(_optional(d) for d in dlast),
            need_dx=need[2],
            need_dstate=any(need[7:]),
        )
        if np.may_share_memory(dweights.bx, dweights.bh):  # equal for RNN and LSTM, but two parameters
            dweights = dweights._replace(bh=dweights.bh.copy())
        found = [dx, *dweights[:4], *(dstate or [None] * len(need[7:]))]
        return (
            None,
            None,
            *tensors([g if wanted else None for g, wanted in zip(found, need[2:], strict=False)]),
        )


class _FirstOrderOnly(Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise UsageError(
            "second derivative of a backtime layer: not there yet (composed operations are to come); "
            "expected a graph that is differentiated once"
        )


def _forward(
    cell: str, options: Options, save: bool, x: Tensor, weights: Any, state: tuple[Tensor, ...]
) -> tuple[Tensor, list[Tensor], kernels.Tape | None]:
    start = tuple([array(s) for s in state]) or None
    y, last, tape = kernels.forward(cell, array(x), start, _weights(*weights), save=save, **options)
    # an engine may return the last h as a view of y: two outputs of autograd must not share memory
    own = [s.copy() if np.may_share_memory(s, y) else s for s in last]
    return torch.from_numpy(y), [torch.from_numpy(s) for s in own], tape


def _weights(Wx: Tensor, Wh: Tensor, bx: Tensor | None, bh: Tensor | None) -> Weights:
    wx, wh = array(Wx), array(Wh)
    if bx is None or bh is None:  # bias=False
        zeros = np.zeros(len(wx), wx.dtype)
        return Weights(wx, wh, zeros, zeros)
    return Weights(wx, wh, array(bx), array(bh))


def _take_tape(ctx: Any) -> kernels.Tape:
    """The tape, used once so that its memory goes as early as PyTorch's own saved tensors.

    A second pass through a retained graph runs the layer again from its saved inputs.
    """
    x, *rest, _y = ctx.saved_tensors  # raises when one was changed in place, or the graph was not retained
    kept, ctx.tape = ctx.tape, None
    if kept is None:
        kept = _forward(ctx.cell, ctx.options, True, x, rest[:4], tuple(rest[4:]))[2]
    tape: kernels.Tape = kept
    return tape


def _optional(gradient: Tensor | None) -> Array | None:
    return None if gradient is None else array(gradient)
