"""Which path a layer's calls take, in words."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

import backtime.kernels as kernels
from backtime.nn import fused, paths


@dataclass(frozen=True)
class Explanation:
    """Which path runs, and why; prints as a few lines."""

    path: str  # native, reference, fused or composed; refused where a call raises
    why: str
    device: str
    dtype: str
    options: dict[str, Any]

    def __str__(self) -> str:
        """The path, its reason, and what it depends on."""
        options = ", ".join(f"{name}={value}" for name, value in self.options.items()) or "none"
        return f"{self.path}: {self.why}\n  device {self.device}, {self.dtype}\n  options: {options}"


def explain(layer: Any) -> Explanation:
    """For a call with floats, as the layer is now: its device, type and options."""
    like = layer._weights(layer._names[0]).Wx
    path, why = _found(layer, like)
    dtype = str(like.dtype).removeprefix("torch.")
    return Explanation(path, why, str(like.device), dtype, layer.settings.kernel | layer.settings.given())


def _found(layer: Any, like: Tensor) -> tuple[str, str]:
    if layer.settings.backend == "composed":
        return "composed", "backend='composed'"
    why = paths.obstacle(like)
    if why is not None and layer.settings.backend == "native":
        return "refused", f"backend='native', but {why}"
    if not like.is_cpu and not like.is_meta and fused.plain(layer):
        return "fused", f"the weights are on {like.device.type}, where PyTorch has an operation of its own"
    if why is not None:
        return "composed", why
    if kernels.choose("auto") == "reference":
        return "reference", kernels.engine_info().get("why", "BACKTIME_BACKEND='reference'")
    return "native", f"the engine has a kernel for it ({kernels.engine_info()['isa']})"
