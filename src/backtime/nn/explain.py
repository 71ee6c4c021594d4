"""Which path a layer's calls take, in words."""

from dataclasses import dataclass
from typing import Any

import torch

from backtime import kernels
from backtime.nn import fused, noise, paths
from backtime.nn.tensors import Call


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
    path, why = _found(layer, weights[:2] if layer.bidirectional else weights[:1])
    like = weights[0].Wx
    dtype = str(like.dtype).removeprefix("torch.")
    return Explanation(path, why, str(like.device), dtype, layer.settings.kernel | layer.settings.given())


def _found(layer: Any, weights: list[Any]) -> tuple[str, str]:
    if layer.settings.backend == "composed":
        return "composed", "backend='composed'"
    like = weights[0].Wx
    if not like.is_cpu and not like.is_meta and fused.plain(layer):
        return "fused", f"the weights are on {like.device.type}, where PyTorch has an operation of its own"
    with torch.random.fork_rng(devices=[]):  # its masks are not those of the next call
        return _on_cpu(layer, weights)


def _on_cpu(layer: Any, weights: list[Any]) -> tuple[str, str]:
    for n, own in enumerate(weights):
        options = noise.call_options(layer.cell, layer.settings, layer.training, (1, 1), 1, own)
        call = Call(layer.cell, options, None, n == 1)
        if (why := paths.obstacle(call, own)) is not None:
            return "composed", why
    if kernels.choose("auto") == "reference":
        return "reference", kernels.engine_info().get("why", "BACKTIME_BACKEND='reference'")
    return "native", f"the engine has a kernel for it ({kernels.engine_info()['isa']})"
