"""The engine as a differentiable function of PyTorch: what is saved, what backward returns."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import profiler
from torch.autograd.function import Function

from backtime.nn.backends import composed, layers
from backtime.nn.backends.binding import backward, forward
from backtime.nn.types import FORWARD, REVERSE, Call, Network, PackedRows, States, Weights

REFUSALS = (TypeError, ValueError, RuntimeError, BufferError)  # by the engine; by torch, of a capsule
Result = tuple[Tensor | None, States]  # y, in the form of the input, None of one step; and the last state


def run(network: Network, x: Tensor, state: States | None, weights: list[Tensor]) -> Result:
    """All layers; autograd records when it is on. Raises one of ``REFUSALS`` for what does not fit."""
    h0, c0 = (*(state or ()), None, None)[:2]
    if torch.is_grad_enabled():
        result = _Network.apply(network, x, h0, c0, *weights)  # type: ignore[no-untyped-call]
    elif profiler._is_profiler_enabled:
        with profiler.record_function(f"backtime::{network.cell}"):  # autograd names the other call itself
            result = forward(network, x, h0, c0, weights, False)[0]
    else:
        result = forward(network, x, h0, c0, weights, False)[0]
    return (None, result) if network.one_step else (result[0], result[1:])


def run_direction(call: Call, x: Tensor, state: States, weights: Weights) -> tuple[Tensor, States]:
    """One layer in one direction: ``x`` (T, B, I), or (R, I) with ``batch_sizes``; ``state`` may be empty."""
    network = network_of(call, weights, len(state[0]) if state else None)
    y, last = run(network, x, tuple([s.unsqueeze(0) for s in state]), [w for w in weights if w is not None])
    assert y is not None
    return y, tuple([s.squeeze(0) for s in last])


def network_of(call: Call, weights: Weights, B: int | None = None) -> Network:
    """That of one layer in one direction; packed rows come with their number of sequences."""
    options = dict(call.options)
    reset = options.pop("reset", None)
    return Network(
        call.cell,
        tuple([name for name, w in zip(Weights._fields, weights, strict=True) if w is not None]),
        REVERSE if call.reverse else FORWARD,
        sequences=None if call.batch_sizes is None else PackedRows(call.batch_sizes, B=B),
        reset=reset,
        options=(options,) if options else (),
    )


class _Network(Function):
    """Arguments: the network, x, h0, c0 (None for zeros), and the weights of all layers."""

    @staticmethod
    def forward(ctx: Any, network: Network, x: Tensor, h0: Any, c0: Any, *weights: Tensor) -> Any:
        save = True in ctx.needs_input_grad
        result, ctx.saved = forward(network, x, h0, c0, weights, save)
        if save:
            ctx.network = network
            ctx.set_materialize_grads(False)
            # y too: backward reads these tensors' memory, and saving makes torch notice a change in place
            ctx.save_for_backward(x, h0, c0, *weights, None if network.one_step else result[0])
        return result

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Any, ...]:
        tensors = ctx.saved_tensors  # raises when one was changed in place, or the graph was not retained
        need = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or _seen_by_others(upstream):
            return None, *_composed_backward(ctx.network, tensors[:-1], upstream, need)
        return None, *backward(ctx.network, _take_saved(ctx, tensors), tensors, upstream, need)


def _seen_by_others(upstream: tuple[Tensor | None, ...]) -> bool:
    """Whether torch.func, or a batch of gradients at once, wants plain operations."""
    batched = torch._C._functorch.is_legacy_batchedtensor
    return torch._C._are_functorch_transforms_active() or any(d is not None and batched(d) for d in upstream)


def _take_saved(ctx: Any, tensors: tuple[Any, ...]) -> Any:
    """What forward kept, used once so that its memory goes as early as PyTorch's own saved tensors.

    A second pass through a retained graph runs the layers again from their saved inputs.
    """
    saved, ctx.saved = ctx.saved, None
    if saved is None:
        x, h0, c0, *weights, _ = tensors
        saved = forward(ctx.network, x, h0, c0, weights, True)[1]
    return saved


def _composed_backward(
    network: Network, saved: tuple[Any, ...], upstream: tuple[Tensor | None, ...], need: tuple[bool, ...]
) -> list[Tensor | None]:
    """Gradients that can be differentiated again: those of the composed operations on the same tensors."""
    x, h0, c0, *weights = saved
    state = None if h0 is None else (h0,) if c0 is None else (h0, c0)
    with torch.enable_grad():
        y, last = layers.run(network, x, state, weights, composed.run)
    outputs = last if y is None else (y, *last)
    pairs = [(o, d) for o, d in zip(outputs, upstream, strict=True) if d is not None and o.requires_grad]
    wanted = [t for t, wants in zip(saved, need, strict=True) if wants]
    if not pairs:
        return [None] * len(need)
    result = iter(
        torch.autograd.grad(
            [o for o, _ in pairs],
            wanted,
            [d for _, d in pairs],
            create_graph=torch.is_grad_enabled(),
            allow_unused=True,
        )
    )
    return [next(result) if wants else None for wants in need]
