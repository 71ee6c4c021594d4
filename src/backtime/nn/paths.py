"""Which path a call takes, and why.

- ``native``     the kernels: the compiled engine (NumPy where there is none, or BACKTIME_BACKEND says so)
- ``composed``   plain torch operations, for what the engine does not do, and inside ``torch.func``
- ``fused``      PyTorch's own operation, for plain layers on other devices than the CPU (``nn.fused``)
"""

import warnings
from functools import cache

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from backtime.errors import UsageError
from backtime.nn import composed, library
from backtime.nn.autograd import run_kernels
from backtime.nn.probe import KNOWN, engine_lacks
from backtime.nn.tensors import Call, States, Weights

BACKENDS = ("auto", "native", "composed")
PLAIN = (str, bool, type(None))


class FallbackWarning(UserWarning):
    """A layer does not run on the engine; the message says why. Given once for each reason."""


def run(call: Call, x: Tensor, state: States, weights: Weights, backend: str) -> tuple[Tensor, States]:
    """One layer in one direction: ``y`` (T, B, P), or (R, P) of packed rows, and the last state."""
    if backend != "composed":
        why = obstacle(call, weights)
        if why is None:
            if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
                return library.run(call, x, state, weights)
            if not transformed(x) and x.numel():
                return run_kernels(call, x, state, weights)
        elif not torch.compiler.is_compiling():
            refuse_or_say(why, backend)
    return composed.forward(call, x, state, weights)[:2]


def obstacle(call: Call, weights: Weights) -> str | None:
    """Why the kernels cannot run this call; None when they can."""
    like = weights.Wx
    if not like.is_cpu:
        return f"the weights are on {like.device.type}"
    if like.dtype is not torch.float32 and like.dtype is not torch.float64:
        return f"the weights are {str(like.dtype).removeprefix('torch.')}"
    plain = not call.options and call.batch_sizes is None and not call.reverse
    if plain and weights.Wy is None and weights.p is None and weights.gx is None:
        return None
    form = (
        call.cell,
        tuple(
            (name, value if isinstance(value, PLAIN) else "rows" if isinstance(value, Tensor) else 0.5)
            for name, value in call.options.items()
        ),
        tuple(name for name, w in zip(Weights._fields, weights, strict=True) if w is not None),
        call.batch_sizes is not None,
        call.reverse,
    )
    if torch.compiler.is_compiling():  # what the compiler cannot look into was asked before
        return KNOWN.get(form, "this form of call was not made before it was compiled")
    return engine_lacks(*form)


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
