"""What ``torch.nn`` could be in a layer's place: its class, and whether it computes the same."""

from typing import Any

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from backtime.nn.backends import cudnn

ADDED = ("_was_torchs", "settings", "reset_after")  # to what torch.nn's layers keep


def class_of(module: Any) -> type:
    """``torch.nn``'s class of which a layer or cell is a subclass."""
    return next(kind for kind in type(module).__mro__ if kind.__module__ == "torch.nn.modules.rnn")


def name_of(module: Any) -> str:
    """As a message calls it; a subclass by its own name."""
    kind = type_before_parametrizations(module)
    return f"backtime.nn.{kind.__name__}" if _is_ours(kind) else f"{kind.__module__}.{kind.__qualname__}"


def runs_code_of_its_own(module: Any) -> bool:
    """Whether a subclass, somebody's, has a ``forward`` that ``torch.nn``'s layer would not run."""
    return not _is_ours(type(module).forward)


def _is_ours(made: Any) -> bool:
    return str(made.__module__).startswith("backtime.nn.")


def beyond(module: Any) -> str | None:
    """What of a layer or cell ``torch.nn`` has not, in words; None where it has everything."""
    if runs_code_of_its_own(module):
        return "a forward of its own"
    if isinstance(module, nn.RNNCellBase):
        activation = getattr(module, "nonlinearity", "tanh")
        return None if activation in ("tanh", "relu") else f"nonlinearity={activation!r}"
    noise = noise_of(module)
    if noise is None and cudnn.has(module._network()) and not module.settings.learned_state:
        return None
    options = module.settings.kernel | module.settings.given() | ({} if noise is None else noise)
    options.pop("backend", None)
    return ", ".join(f"{name}={value!r}" for name, value in options.items()) or "a cell of its own"


def noise_of(layer: Any) -> dict[str, Any] | None:
    """The options that change each call, as the layer's mode has them; None where there is none."""
    settings = layer.settings
    lasting = {"zoneout": settings.zoneout if any(settings.zoneouts) else None, "leak": settings.leak}
    drawn = {name: getattr(settings, name) or None for name in ("recurrent_dropout", "weight_dropout")}
    found = {name: value for name, value in lasting.items() if value is not None}
    if settings.variational_dropout and layer.dropout and layer.num_layers > 1:
        drawn["variational_dropout"] = True
    if layer.training:
        found |= {name: value for name, value in drawn.items() if value is not None}
    return found or None


def make_torchs(module: Any) -> None:
    """The module itself becomes ``torch.nn``'s: the same object, with the same parameters and hooks."""
    for name in ADDED:
        module.__dict__.pop(name, None)
    module.__class__ = class_of(module)


def as_torchs(module: Any) -> Any:
    """``torch.nn``'s layer with the very parameters, buffers and hooks of this one."""
    kind: Any = class_of(module)
    twin = kind.__new__(kind)
    kept = {n: v for n, v in module.__dict__.items() if n not in ADDED}
    if not isinstance(module, nn.RNNCellBase):  # computed weights as they are now, not as in the last call
        kept["_flat_weights"] = [w if isinstance(w, nn.Parameter) else w.detach() for w in module._weights()]
    object.__setattr__(twin, "__dict__", kept)
    return twin
