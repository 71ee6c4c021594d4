"""From autograd to the kernels and back: what is saved, what backward returns.

The kernels run one direction, or both at once; then the forward direction's weights and states come first.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from backtime.nn import composed, direct
from backtime.nn.bridge import Calls, backward_tensors, forward_tensors
from backtime.nn.tensors import Call, States, Weights

PLAIN = 4  # weights of a layer without options


def run_kernels(call: Call, x: Tensor, state: States, weights: Weights) -> tuple[Tensor, States]:
    """One layer in one direction by the kernels; records for autograd when it is on."""
    return run_tensors((call,), x, _given(weights), state)


def run_both(
    calls: tuple[Call, Call], x: Tensor, states: tuple[States, States], weights: tuple[Weights, Weights]
) -> tuple[Tensor, tuple[States, States]]:
    """Both directions of a layer at once: ``y`` (T, B, 2P) or (R, 2P), the forward half first."""
    y, last = run_tensors(calls, x, _given(weights[0]) + _given(weights[1]), states[0] + states[1])
    n = len(last) // 2
    return y, (last[:n], last[n:])


def _given(weights: Weights) -> tuple[Tensor | None, ...]:
    """Without those of the options where there are none: each argument of apply costs half a microsecond."""
    plain = weights.Wy is None and weights.p is None and weights.gx is None
    return weights[:PLAIN] if plain else weights


def run_tensors(
    calls: Calls, x: Tensor, weights: tuple[Tensor | None, ...], state: States
) -> tuple[Tensor, States]:
    """``y`` and the last state, each direction's parts after the other's as in ``weights`` and ``state``."""
    if torch.is_grad_enabled():
        found = _Layer.apply(calls, len(weights), x, *weights, *state)  # type: ignore[no-untyped-call]
        return found[0], found[1:]
    y, last, _ = _forward(calls, False, x, weights, state)
    return y, tuple(last)


def _forward(
    calls: Calls, save: bool, x: Tensor, weights: tuple[Tensor | None, ...], state: States
) -> tuple[Tensor, list[Tensor], Any]:
    """``y``, the last state, and the tape where ``save`` asks for it."""
    if calls[0].direct:
        return direct.forward(calls[0], save, x, weights, state)
    return forward_tensors(calls, save, x, weights, state)


class _Layer(Function):
    """A recurrent layer. Arguments: the calls, the number n of weights, x, the weights, then the state."""

    @staticmethod
    def forward(ctx: Any, calls: Calls, n: int, x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        save = True in ctx.needs_input_grad
        y, last, ctx.tape = _forward(calls, save, x, tensors[:n], tensors[n:])
        if save:
            ctx.calls, ctx.n = calls, n
            ctx.set_materialize_grads(False)
            # y too: the tape reads these tensors' memory, and saving makes torch notice a change in place
            ctx.save_for_backward(x, *tensors, y)
        return y, *last

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *dlast: Tensor | None) -> tuple[Any, ...]:
        need = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
            return None, None, *_composed_backward(ctx, need, (dy, *dlast))
        saved = ctx.saved_tensors  # raises when one was changed in place, or the graph was not retained
        tape = _take_tape(ctx, saved)
        if isinstance(tape, direct.Tape):
            return None, None, *direct.backward(tape, saved, dy, dlast, need)
        return None, None, *backward_tensors(ctx.calls, tape, ctx.n, dy, dlast, need)


def _take_tape(ctx: Any, saved: tuple[Tensor, ...]) -> Any:
    """The tape, used once so that its memory goes as early as PyTorch's own saved tensors.

    A second pass through a retained graph runs the layer again from its saved inputs.
    """
    kept, ctx.tape = ctx.tape, None
    if kept is None:
        n = ctx.n
        kept = _forward(ctx.calls, True, saved[0], saved[1 : 1 + n], saved[1 + n : -1])[2]
    return kept


def _composed_backward(
    ctx: Any, need: tuple[bool, ...], upstream: tuple[Tensor | None, ...]
) -> list[Tensor | None]:
    """Gradients that can be differentiated again: those of the composed operations on the same tensors."""
    saved = ctx.saved_tensors[:-1]
    with torch.enable_grad():
        again = _composed(ctx.calls, saved[0], saved[1 : 1 + ctx.n], saved[1 + ctx.n :])
    outputs = [(o, d) for o, d in zip(again, upstream, strict=True) if d is not None and o.requires_grad]
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


def _composed(calls: Calls, x: Tensor, weights: tuple[Tensor, ...], state: States) -> tuple[Tensor, ...]:
    """``y`` and the last state, as ``run_tensors`` orders them."""
    n, k, stacked = len(weights) // len(calls), len(state) // len(calls), calls[0].stacked
    state = tuple(part.squeeze(0) for part in state) if stacked else state
    each = [
        composed.forward(call, x, state[d * k : d * k + k], Weights(*weights[d * n : d * n + n]))
        for d, call in enumerate(calls)
    ]
    y = each[0].y if len(each) == 1 else torch.cat([one.y for one in each], -1)
    return y, *[part.unsqueeze(0) if stacked else part for one in each for part in one.last]
