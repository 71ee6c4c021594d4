"""``torch.nn``'s names: one layer and direction of a ``state_dict`` as Weights, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from backtime.errors import UsageError
from backtime.reference.weights import Array, Weights

NAMES = {"Wx": "weight_ih", "Wh": "weight_hh", "bx": "bias_ih", "bh": "bias_hh", "Wy": "weight_hr"}


def from_torch(state: Mapping[str, Any], layer: int = 0, reverse: bool = False, prefix: str = "") -> Weights:
    """Weights of one layer and direction from arrays or CPU tensors; zeros where there is no bias."""
    found = {}
    for field, name in NAMES.items():
        key = f"{prefix}{name}_l{layer}{'_reverse' if reverse else ''}"
        if key in state:
            found[field] = _array(state[key])
        elif field in ("Wx", "Wh"):
            raise UsageError(f"state has no {key}; expected the weights of layer {layer}")
    zeros = np.zeros(len(found["Wx"]), found["Wx"].dtype)
    return Weights(**{"bx": zeros, "bh": zeros.copy(), **found})


def to_torch(weights: Weights, layer: int = 0, reverse: bool = False, prefix: str = "") -> dict[str, Array]:
    """The arrays of one layer and direction under ``torch.nn``'s names."""
    beyond = [name for name in ("by", "p", "gx", "gh", "gc", "bc") if getattr(weights, name) is not None]
    if beyond:
        raise UsageError(
            f"weights have {', '.join(beyond)}; torch.nn has a place for {', '.join(NAMES)} alone"
        )
    ending = f"_l{layer}{'_reverse' if reverse else ''}"
    return {
        f"{prefix}{name}{ending}": value.copy()
        for field, name in NAMES.items()
        if (value := getattr(weights, field)) is not None
    }


def _array(value: Any) -> Array:
    """A copy of an array, or of a CPU tensor without loading PyTorch for it."""
    return np.array(value.detach().numpy() if hasattr(value, "detach") else value)
