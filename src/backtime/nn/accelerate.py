"""``accelerate``: the recurrent layers of an existing model, run by backtime; ``restore``: back again.

A layer stays the object that it is, with its parameters, hooks, mode and references, and changes its class:
optimisers made before, a module that is used twice and a model that is itself a layer need no care.
"""

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from backtime.errors import UsageError, shown
from backtime.nn.cells import Cell, GRUCell, LSTMCell, RNNCell
from backtime.nn.gru import GRU
from backtime.nn.layer import Recurrent
from backtime.nn.lstm import LSTM
from backtime.nn.options import Settings
from backtime.nn.recording.torchs import beyond, make_torchs
from backtime.nn.rnn import RNN

LAYERS: dict[type, type] = {nn.RNN: RNN, nn.GRU: GRU, nn.LSTM: LSTM}
CELLS: dict[type, type] = {nn.RNNCell: RNNCell, nn.GRUCell: GRUCell, nn.LSTMCell: LSTMCell}
OURS = LAYERS | CELLS
THEIRS = {ours: theirs for theirs, ours in OURS.items()}


@dataclass
class Report:
    """What ``accelerate`` or ``restore`` did; prints as one line for each layer."""

    swapped: dict[str, str] = field(default_factory=dict)  # name in the model -> what it was -> what it is
    left: dict[str, str] = field(default_factory=dict)  # name in the model -> why

    def __str__(self) -> str:
        """The layers that changed, then those that did not."""
        lines = [f"{name or 'the model itself'}: {what}" for name, what in self.swapped.items()]
        lines += [f"{name or 'the model itself'}: left, {why}" for name, why in self.left.items()]
        return "\n".join(lines) or "no recurrent layer"


def accelerate(model: nn.Module) -> Report:
    """Run every torch.nn.RNN, GRU, LSTM and cell of ``model`` by backtime, in place; report what was done.

    Parameters stay the same objects. Subclasses are left as they are: they may do something else.
    """
    report = Report()
    for name, module in _checked(model).named_modules():
        kind = type(module)
        if kind in OURS:
            _adopt(module)
            report.swapped[name] = f"torch.nn.{kind.__name__} -> backtime.nn.{kind.__name__}"
        elif isinstance(module, tuple(OURS)) and not isinstance(module, Recurrent | Cell):
            report.left[name] = f"{kind.__module__}.{kind.__qualname__} is a subclass"
    return report


def restore(model: nn.Module, everything: bool = False) -> Report:
    """Undo ``accelerate``, in place; layers that were backtime's from the start are left.

    With ``everything`` these become torch.nn's too, where torch.nn has every option that they use.
    """
    report = Report()
    for name, module in _checked(model).named_modules():
        if type(module) not in THEIRS:
            continue
        swapped, more = "_was_torchs" in module.__dict__, beyond(module)
        if not swapped and (not everything or more is not None):
            report.left[name] = (
                f"torch.nn has no {more}" if everything else "it was not swapped by accelerate"
            )
            continue
        kind = type(module).__name__
        make_torchs(module)
        report.swapped[name] = f"backtime.nn.{kind} -> torch.nn.{kind}"
    return report


def _checked(model: Any) -> nn.Module:
    if isinstance(model, nn.Module):
        return model
    raise UsageError(f"model is {shown(model)}; expected a torch.nn.Module")


def _adopt(module: Any) -> None:
    kind = type(module)
    module.__class__ = OURS[kind]
    module._was_torchs = True
    if kind in CELLS:
        return
    activation = getattr(module, "nonlinearity", "tanh")
    module.settings = Settings(kernel={} if activation == "tanh" else {"activation": activation})
    if kind is nn.GRU:
        module.reset_after = True
