"""Which path a call takes, and why.

- ``native``     the compiled engine
- ``composed``   plain torch operations: other types and devices, second derivatives, ``torch.func``, traces
- ``fused``      PyTorch's own operation (cuDNN), for plain layers on other devices than the CPU
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

import backtime.kernels as kernels
import backtime.nn.callers as callers
from backtime.errors import UsageError
from backtime.nn import call_validation
from backtime.nn.backends import compiled, composed, cudnn, engine, expanded, layers, memory
from backtime.nn.types import Network, States, autocast_on

BACKENDS = ("auto", "native", "composed")
Result = tuple[Any, States]


class FallbackWarning(UserWarning):
    """A layer does not run on the engine; the message says why. Given once for each reason."""


def run(
    network: Network,
    x: Tensor,
    state: States | None,
    weights: list[Tensor],
    backend: str = "auto",
    recorded: bool = False,
) -> Result:
    """``y`` and the last state in the caller's form; raises ``UsageError`` for what does not fit."""
    if type(weights[0]) is not Parameter and type(weights[0]) is not Tensor and expanded.among(weights):
        return expanded.run(network, x, state, weights)
    why = "backend='composed'" if backend == "composed" else obstacle(weights[0])
    if why is None and not recorded and not transformed(x, weights[0]) and _some(network, x, weights[0]):
        try:
            return engine.run(network, x, state, weights)
        except engine.REFUSALS as refusal:
            why = f"it refused the call: {refusal}"
        given = [x, *(state or ()), *weights]
        if "is not aligned" in why and any(copies := [memory.is_odd(tensor) for tensor in given]):
            given = [t.clone() if odd else t for t, odd in zip(given, copies, strict=True)]
            n = len(given) - len(weights)
            return run(network, given[0], state and tuple(given[1:n]), given[n:], backend)
    if expanded.among(weights):  # though the first is frozen, and as it was
        return expanded.run(network, x, state, weights)
    call_validation.check_call(network, x, state, weights)
    if why is None:
        one_direction = compiled.run if recorded else composed.run
        return layers.run(network, x, state, weights, one_direction)
    if backend != "composed" and not torch.compiler.is_compiling():
        return _instead(network, x, state, weights, backend, why)
    return layers.run(network, x, state, weights, composed.run)


def run_traced(
    network: Network, x: Tensor, state: States | None, weights: list[Tensor], form: Callable[[Any], Any]
) -> tuple[Any, States, tuple[layers.Trace, ...]]:
    """The same by composed operations, with every step of every layer, outputs brought into ``form``."""
    call_validation.check_call(network, x, state, weights)
    y, last, steps = layers.run_traced(network, x, state, weights)
    return form(y), last, tuple(step.each(form) for step in steps)


def _instead(
    network: Network, x: Tensor, state: States | None, weights: list[Tensor], backend: str, why: str
) -> Result:
    """What the engine cannot do: by PyTorch's own operation where it has one, and with a word about it."""
    fused = cudnn.fits(network, x, weights) and not transformed(x, weights[0])
    if os.environ.get("BACKTIME_BACKEND") != "reference":
        refuse_or_say(why, backend, "PyTorch's own operation" if fused else "composed torch operations")
    if fused:
        return cudnn.run(network, x, state, weights)
    return layers.run(network, x, state, weights, composed.run)


def obstacle(like: Tensor) -> str | None:
    """Why the engine cannot run a layer with weights like this one; None when it can."""
    if not like.is_cpu:
        return f"the weights are on {like.device.type}"
    if like.dtype is not torch.float32 and like.dtype is not torch.float64:
        return f"the weights are {str(like.dtype).removeprefix('torch.')}"
    if kernels.choose("auto") == "reference":
        return str(kernels.engine_info().get("why", "BACKTIME_BACKEND='reference'"))
    return None


def recorded() -> bool:
    """Whether a compiler, a tracer, or a mode such as that of fake tensors takes the operations down."""
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._get_tracing_state() is not None
    )


def transformed(*tensors: Any) -> bool:
    """Whether torch.func, forward-mode differentiation or a tensor subclass wants to see plain operations."""
    for one in tensors:
        if type(one) is not Tensor and type(one) is not Parameter and isinstance(one, Tensor):
            return True
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def _some(network: Network, x: Any, like: Tensor) -> bool:
    """Whether there is anything to compute."""
    lengths = network.sequences
    some = isinstance(x, Tensor) and x.numel() > 0 and like.numel() > 0
    return some and (not isinstance(lengths, list) or any(lengths))


def in_type(x: Any, state: States | None, like: Tensor) -> tuple[Any, States | None]:
    """Under autocast the layers around may hand over another float type: the layer computes in its own."""
    if not torch._C._is_any_autocast_enabled() or not autocast_on(like.device.type):
        return x, state

    def converted(value: Any) -> Any:
        floats = isinstance(value, Tensor) and value.is_floating_point()
        return value.to(like.dtype) if floats else value

    return converted(x), None if state is None else tuple(converted(part) for part in state)


# What falls back says so.


def refuse_or_say(why: str, backend: str, instead: str = "composed torch operations") -> None:
    """Under ``native`` an error; under ``auto`` a warning, the first time."""
    if backend == "native":
        raise UsageError(f"backend='native', but {why}")
    say_once(f"{instead} instead of the engine: {why}")


@cache
def say_once(message: str) -> None:
    """A ``FallbackWarning`` at the user's line, the first time."""
    warnings.warn(message, FallbackWarning, stacklevel=callers.level())


@dataclass(frozen=True)
class Explanation:
    """Which path runs, and why; prints as a few lines."""

    path: str  # native, fused or composed; refused where a call raises
    why: str
    device: str
    dtype: str
    options: dict[str, Any]

    def __str__(self) -> str:
        """The path, its reason, and what it depends on."""
        options = ", ".join(f"{name}={value}" for name, value in self.options.items()) or "none"
        return f"{self.path}: {self.why}\n  device {self.device}, {self.dtype}\n  options: {options}"


def explain(network: Network, like: Tensor, backend: str, noisy: bool) -> tuple[str, str]:
    """The path of a call with floats, and the reason; ``noisy``: it has what is drawn for each call."""
    if backend == "composed":
        return "composed", "backend='composed'"
    why = obstacle(like)
    if why is None:
        engine = kernels.engine_info()
        whose = "PyTorch's threads" if engine["team"] == "pytorch" else "threads of its own"
        return "native", f"the engine has a kernel for it ({engine['isa']}, {whose})"
    if backend == "native":
        return "refused", f"backend='native', but {why}"
    if not like.is_cpu and not like.is_meta and cudnn.has(network) and not noisy:
        return "fused", f"the weights are on {like.device.type}, where PyTorch has an operation of its own"
    return "composed", why
