"""Which path a layer's calls take, in words."""

from dataclasses import dataclass
from typing import Any

import torch

from backtime import kernels
from backtime.nn import fused, noise, paths
from backtime.nn.tensors import Call, Weights


@dataclass(frozen=True)
class Explanation:
    """Which path runs, and why; prints as a few lines."""

    path: str  # native, reference, fused or composed
    why: str
    device: str
    dtype: str
    options: dict[str, Any]

    def __str__(self) -> str:
        """The path, its reason, and what it depends on."""
        options = ", ".join(f"{name}={value}" for name, value in self.options.items()) or "none"
        return f"{self.path}: {self.why}\n  device {self.device}, {self.dtype}\n  options: {options}"


def explain(layer: Any) -> Explanation:
    """For a dense call with floats, as the layer is now: its device, type, options and mode."""
    weights = [layer._weights(names) for names in layer._names]
    path, why = _found(layer, weights)
    like = weights[0].Wx
    dtype = str(like.dtype).removeprefix("torch.")
    return Explanation(path, why, str(like.device), dtype, layer.settings.kernel | layer.settings.given())


def _found(layer: Any, weights: list[Weights]) -> tuple[str, str]:
    if layer.settings.backend == "composed":
        return "composed", "backend='composed'"
    like = weights[0].Wx
    if not like.is_cpu and not like.is_meta and fused.plain(layer):
        return "fused", f"the weights are on {like.device.type}, where PyTorch has an operation of its own"
    for call, own in _calls(layer, weights, layer.training):
        if (why := paths.obstacle(call, own)) is not None:
            return "composed", why
    if kernels.choose("auto") == "reference":
        return "reference", kernels.engine_info().get("why", "BACKTIME_BACKEND='reference'")
    return "native", f"the engine has a kernel for it ({kernels.engine_info()['isa']})"


def prepare(layer: Any) -> None:
    """Ask the engine about the layer's calls while it can be asked: a compiler does not look into it."""
    weights = [layer._weights(names) for names in layer._names][:2]
    for training in (True, False):
        for call, own in _calls(layer, weights, training):
            paths.obstacle(call, own)


def _calls(layer: Any, weights: list[Weights], training: bool) -> list[tuple[Call, Weights]]:
    """A call of the lowest layer in each direction."""
    calls = []
    with torch.random.fork_rng(
        devices=[], enabled=layer.settings.noisy
    ):  # their masks are not the next call's
        for n, own in enumerate(weights[: 1 + layer.bidirectional]):
            options = noise.call_options(layer.cell, layer.settings, training, (1, 1), 1, own)
            calls.append((Call(layer.cell, options, None, n == 1), own))
    return calls
