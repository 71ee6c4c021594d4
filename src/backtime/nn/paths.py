"""Which path a call takes, and why.

- ``native``     the kernels: the compiled engine (NumPy where there is none, or BACKTIME_BACKEND says so)
- ``composed``   plain torch operations: other types and devices, second derivatives, ``torch.func``
- ``fused``      PyTorch's own operation, for plain layers on other devices than the CPU (``nn.fused``)
"""

import warnings
from functools import cache

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from backtime.errors import UsageError
from backtime.nn import autograd, composed, library
from backtime.nn.tensors import Call, States, Weights

BACKENDS = ("auto", "native", "composed")


class FallbackWarning(UserWarning):
    """A layer does not run on the engine; the message says why. Given once for each reason."""


def run(call: Call, x: Tensor, state: States, weights: Weights, backend: str) -> tuple[Tensor, States]:
    """One layer in one direction: ``y`` (T, B, P), or (R, P) of packed rows, and the last state."""
    if backend != "composed":
        why = obstacle(weights.Wx)
        if why is None:
            if recorded():
                return library.run(call, x, state, weights)
            if not transformed(x) and x.numel():
                return autograd.run_kernels(call, x, state, weights)
        elif not torch.compiler.is_compiling():
            refuse_or_say(why, backend)
    return composed.forward(call, x, state, weights)[:2]


def run_both(
    calls: tuple[Call, Call],
    x: Tensor,
    states: tuple[States, States],
    own: tuple[Weights, Weights],
    backend: str,
) -> tuple[Tensor, tuple[States, States]]:
    """Both directions of a layer: ``y`` (T, B, 2P) or (R, 2P), forward half first, and the last states."""
    if backend != "composed" and obstacle(own[0].Wx) is None and not watched(x) and x.numel():
        return autograd.run_both(calls, x, states, own)
    (y_f, last_f), (y_r, last_r) = (run(calls[d], x, states[d], own[d], backend) for d in (0, 1))
    return torch.cat([y_f, y_r], -1), (last_f, last_r)


def obstacle(like: Tensor) -> str | None:
    """Why the kernels cannot run a layer with weights like this one; None when they can."""
    if not like.is_cpu:
        return f"the weights are on {like.device.type}"
    if like.dtype is not torch.float32 and like.dtype is not torch.float64:
        return f"the weights are {str(like.dtype).removeprefix('torch.')}"
    return None


def recorded() -> bool:
    """Whether a compiler, or a mode such as that of fake tensors, takes the operations down."""
    return torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0


def watched(x: Tensor) -> bool:
    """Whether someone is there for whom a call of the kernels is not enough."""
    return recorded() or transformed(x)


def transformed(x: Tensor) -> bool:
    """Whether torch.func, forward-mode differentiation or a tensor subclass wants to see plain operations."""
    return (
        (type(x) is not Tensor and type(x) is not Parameter)
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )


def refuse_or_say(why: str, backend: str, instead: str = "composed torch operations") -> None:
    """Under ``native`` an error; under ``auto`` a warning, the first time."""
    if backend == "native":
        raise UsageError(f"backend='native', but {why}")
    _say_once(f"{instead} instead of the engine: {why}")


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, FallbackWarning, stacklevel=6)
