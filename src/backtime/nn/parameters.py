"""The parameters of the layers: names, shapes, initial values; ``torch.nn``'s first, in its order."""

from typing import Any

import torch
from torch import nn

from backtime.kernels import GATES

Names = tuple[str | None, ...]  # of one layer and direction, in the order of tensors.Weights

# torch.nn's names and those of the options, field by field of tensors.Weights
FIELDS = (
    "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "bias_hr",
    "weight_peephole", "gain_ih", "gain_hh", "gain_c", "bias_c",
)  # fmt: skip


def suffixes(layer: Any) -> list[str]:
    """``_l0``, ``_l0_reverse``, ``_l1`` and so on: one for each layer and direction."""
    ends = ("", "_reverse") if layer.bidirectional else ("",)
    return [f"_l{n}{end}" for n in range(layer.num_layers) for end in ends]


def names(layer: Any, suffix: str) -> Names:
    """The name of every weight that the layer has; None for one that it has not."""
    has = present(layer)
    return tuple(field + suffix if field in has else None for field in FIELDS)


def present(layer: Any) -> set[str]:
    """The fields that the layer's arguments call for."""
    found = {"weight_ih", "weight_hh"}
    found |= {"bias_ih", "bias_hh"} if layer.bias else set()
    found |= {"weight_hr"} if layer.proj_size else set()
    found |= {"bias_hr"} if layer.proj_size and layer.bias and layer.cell == "jordan" else set()
    found |= {"weight_peephole"} if layer.settings.peephole else set()
    found |= {"gain_ih", "gain_hh"} if layer.settings.layer_norm else set()
    found |= {"gain_c", "bias_c"} if layer.settings.layer_norm and layer.cell == "lstm" else set()
    return found


def mode(cell: str, kernel: dict[str, Any]) -> str:
    """What ``torch.nn`` calls the cell; names of their own for cells that it has not."""
    return f"RNN_{kernel.get('activation', 'tanh').upper()}" if cell == "rnn" else cell.upper()


def name_weights(layer: Any) -> None:
    """The names of the weights, with holes for the options that are off, and as ``torch.nn`` keeps them."""
    layer._names = [names(layer, suffix) for suffix in suffixes(layer)]
    layer._all_weights = [[name for name in own if name is not None] for own in layer._names]
    layer._flat_weights_names = [name for own in layer._all_weights for name in own]


def with_flat_weights(cell: str, state: dict[str, Any]) -> dict[str, Any]:
    """The state of a pickled layer with what ``torch.nn.RNNBase`` keeps, where it was written without."""
    if "_all_weights" in state:
        return state
    each = [[name for name in own if name is not None] for own in state["_names"]]
    flat = [name for own in each for name in own]
    held = state | state["_parameters"]
    return state | {
        "mode": mode(cell, state["settings"].kernel),
        "_all_weights": each,
        "_flat_weights_names": flat,
        "_flat_weights": [held.get(name) for name in flat],
    }


def register(layer: Any, device: Any, dtype: torch.dtype | None) -> None:
    """Empty parameters; torch.nn's of all layers first, so that options do not move its draws."""
    name_weights(layer)
    shared, own = FIELDS[:5], FIELDS[5:]
    has = present(layer)
    for fields in (shared, own):
        for n, suffix in enumerate(suffixes(layer)):
            for field in (f for f in fields if f in has):
                value = torch.empty(_shape(layer, field, n), device=device, dtype=dtype)
                layer.register_parameter(field + suffix, nn.Parameter(value))
    for name, width in state_widths(layer).items() if layer.settings.learned_state else ():
        size = (len(suffixes(layer)), width)
        layer.register_parameter(name, nn.Parameter(torch.empty(size, device=device, dtype=dtype)))


def state_widths(layer: Any) -> dict[str, int]:
    """The parts of the state by name, and their widths."""
    widths = {"h0": layer.proj_size or layer.hidden_size}
    return widths | {"c0": layer.hidden_size} if layer.cell == "lstm" else widths


def reset(layer: Any) -> None:
    """U(-1/sqrt(H), 1/sqrt(H)) by torch.nn's calls in its order; gains 1, shifts and learned states 0."""
    nn.RNNBase.reset_parameters(layer)
    for name, value in layer.named_parameters(recurse=False):
        if name.startswith("gain_"):
            nn.init.ones_(value)
        elif name.startswith("bias_c_") or name in ("h0", "c0"):
            nn.init.zeros_(value)
    if layer.settings.forget_bias is not None:
        _set_forget_bias(layer, layer.settings.forget_bias)


def _set_forget_bias(layer: Any, value: float) -> None:
    """So that the two biases of the forget gate add up to ``value`` (Jozefowicz et al. 2015)."""
    forget = slice(layer.hidden_size, 2 * layer.hidden_size)
    for suffix in suffixes(layer):
        with torch.no_grad():
            getattr(layer, f"bias_ih{suffix}")[forget] = value
            getattr(layer, f"bias_hh{suffix}")[forget] = 0


def _shape(layer: Any, field: str, n: int) -> tuple[int, ...]:
    """Of the n-th layer and direction."""
    H, P = layer.hidden_size, layer.proj_size or layer.hidden_size
    GH = GATES[layer.cell] * H
    D = 2 if layer.bidirectional else 1
    below = layer.input_size if n < D else P * (D if layer.settings.merge == "concat" else 1)
    return {
        "weight_ih": (GH, below), "weight_hh": (GH, P), "bias_ih": (GH,), "bias_hh": (GH,),
        "weight_hr": (P, H), "bias_hr": (P,), "weight_peephole": (3, H),
        "gain_ih": (GH,), "gain_hh": (GH,), "gain_c": (H,), "bias_c": (H,),
    }[field]  # fmt: skip
