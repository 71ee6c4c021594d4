"""The parameters of the layers: names, shapes, initial values; ``torch.nn``'s first, in its order."""

from typing import Any

import torch
from torch import nn

from backtime.kernels import GATES
from backtime.nn.types import NAMES, Weights

FIELDS = {name: field for field, name in NAMES.items()}


def name_weights(layer: Any) -> None:
    """``_all_weights`` and ``_flat_weights_names``, as ``torch.nn`` keeps them."""
    each = [NAMES[field] for field in Weights._fields if field in _present(layer)]
    layer._all_weights = [[name + suffix for name in each] for suffix in _suffixes(layer)]
    layer._flat_weights_names = [name for names in layer._all_weights for name in names]


def fields(layer: Any) -> tuple[str, ...]:
    """Which of ``Weights`` the layer has."""
    return tuple([FIELDS[name[:-3]] for name in layer._all_weights[0]])  # without _l0


def _suffixes(layer: Any) -> list[str]:
    """``_l0``, ``_l0_reverse``, ``_l1`` and so on: one for each layer and direction."""
    ends = ("", "_reverse") if layer.bidirectional else ("",)
    return [f"_l{n}{end}" for n in range(layer.num_layers) for end in ends]


def _present(layer: Any) -> set[str]:
    """The fields that the layer's arguments call for."""
    result = {"Wx", "Wh"}
    result |= {"bx", "bh"} if layer.bias else set()
    result |= {"Wy"} if layer.proj_size else set()
    result |= {"by"} if layer.proj_size and layer.bias and layer.cell == "jordan" else set()
    result |= {"p"} if layer.settings.peephole else set()
    result |= {"gx", "gh"} if layer.settings.layer_norm else set()
    result |= {"gc", "bc"} if layer.settings.layer_norm and layer.cell == "lstm" else set()
    return result


def mode(cell: str, kernel: dict[str, Any]) -> str:
    """What ``torch.nn`` calls the cell; names of their own for cells that it has not."""
    return f"RNN_{kernel.get('activation', 'tanh').upper()}" if cell == "rnn" else cell.upper()


def with_flat_weights(cell: str, state: dict[str, Any]) -> dict[str, Any]:
    """The state of a pickled layer with what ``torch.nn.RNNBase`` keeps, where it was written without."""
    if "_all_weights" in state:
        return state
    older = dict(state)
    each = [[name for name in names if name is not None] for names in older.pop("_names")]
    flat = [name for names in each for name in names]
    held = state | state["_parameters"]
    return older | {
        "mode": mode(cell, state["settings"].kernel),
        "_all_weights": each,
        "_flat_weights_names": flat,
        "_flat_weights": [held.get(name) for name in flat],
    }


def register(layer: Any, device: Any, dtype: torch.dtype | None) -> None:
    """Empty parameters; torch.nn's of all layers first, so that options do not move its draws."""
    name_weights(layer)
    shapes = [_shapes(layer, n) for n in range(len(layer._all_weights))]
    for group in (Weights._fields[:5], Weights._fields[5:]):  # torch.nn's; those of the options
        for names, shape in zip(layer._all_weights, shapes, strict=True):
            for field, name in zip(fields(layer), names, strict=True):
                if field in group:
                    value = torch.empty(shape[field], device=device, dtype=dtype)
                    layer.register_parameter(name, nn.Parameter(value))
    for name, width in state_widths(layer).items() if layer.settings.learned_state else ():
        size = (len(shapes), width)
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
    for suffix in _suffixes(layer):
        with torch.no_grad():
            getattr(layer, f"bias_ih{suffix}")[forget] = value
            getattr(layer, f"bias_hh{suffix}")[forget] = 0


def _shapes(layer: Any, n: int) -> dict[str, tuple[int, ...]]:
    """Of the n-th layer and direction, by field."""
    H, P = layer.hidden_size, layer.proj_size or layer.hidden_size
    GH = GATES[layer.cell] * H
    D = 2 if layer.bidirectional else 1
    below = layer.input_size if n < D else P * (D if layer.settings.merge == "concat" else 1)
    return {
        "Wx": (GH, below), "Wh": (GH, P), "bx": (GH,), "bh": (GH,), "Wy": (P, H), "by": (P,),
        "p": (3, H), "gx": (GH,), "gh": (GH,), "gc": (H,), "bc": (H,),
    }  # fmt: skip
