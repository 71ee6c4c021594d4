"""``accelerate``: the recurrent layers of an existing model, run by backtime; ``restore``: back again.

A layer stays the object that it is, with its parameters, hooks, mode and references, and changes its class:
optimisers made before, a module that is used twice and a model that is itself a layer need no care.
"""

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from backtime.nn import parameters
from backtime.nn.cells import GRUCell, LSTMCell, RNNCell
from backtime.nn.explain import prepare
from backtime.nn.gru import GRU
from backtime.nn.lstm import LSTM
from backtime.nn.rnn import RNN
from backtime.nn.settings import Settings

LAYERS: dict[type, type] = {nn.RNN: RNN, nn.GRU: GRU, nn.LSTM: LSTM}
CELLS: dict[type, type] = {nn.RNNCell: RNNCell, nn.GRUCell: GRUCell, nn.LSTMCell: LSTMCell}
THEIRS = {ours: theirs for theirs, ours in (LAYERS | CELLS).items()}
MODES = {"RNN": "RNN_TANH", "GRU": "GRU", "LSTM": "LSTM"}
KEPT = ("_flat_weights", "_flat_weight_refs", "_flat_weights_names", "_all_weights", "mode")


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
    for name, module in model.named_modules():
        kind = type(module)
        if kind in LAYERS:
            _adopt_layer(module, LAYERS[kind])
        elif kind in CELLS:
            _adopt_cell(module, CELLS[kind])
        else:
            if isinstance(module, tuple(LAYERS | CELLS)):
                report.left[name] = f"{kind.__module__}.{kind.__qualname__} is a subclass"
            continue
        report.swapped[name] = f"torch.nn.{kind.__name__} -> backtime.nn.{kind.__name__}"
    return report


def restore(model: nn.Module) -> Report:
    """Undo ``accelerate``, in place; layers that were backtime's from the start are left."""
    report = Report()
    for name, module in model.named_modules():
        if type(module) not in THEIRS:
            continue
        if "_was_torchs" not in module.__dict__:
            report.left[name] = "it was not swapped by accelerate"
            continue
        _give_back(module)
        kind = type(module).__name__
        report.swapped[name] = f"backtime.nn.{kind} -> torch.nn.{kind}"
    return report


def _adopt_layer(module: Any, ours: type) -> None:
    activation = getattr(module, "nonlinearity", "tanh")
    for name in KEPT:
        module.__dict__.pop(name, None)
    module.__class__ = ours
    module._was_torchs = True
    module.settings = Settings(kernel={} if activation == "tanh" else {"activation": activation})
    if ours is GRU:
        module.reset_after = True
    module._names = [parameters.names(module, suffix) for suffix in parameters.suffixes(module)]
    prepare(module)


def _adopt_cell(module: Any, ours: type) -> None:
    activation = getattr(module, "nonlinearity", "tanh")
    module.__class__ = ours
    module._was_torchs = True
    module._options = {} if activation == "tanh" else {"activation": activation}


def _give_back(module: Any) -> None:
    theirs = THEIRS[type(module)]
    names = getattr(module, "_names", None)
    for name in ("_was_torchs", "settings", "_names", "_options", "reset_after"):
        module.__dict__.pop(name, None)
    module.__class__ = theirs
    if names is not None:
        module.mode = "RNN_RELU" if getattr(module, "nonlinearity", "") == "relu" else MODES[theirs.__name__]
        # torch.nn has the projection last, as tensors.Weights has
        module._all_weights = [[name for name in own if name is not None] for own in names]
        module._flat_weights_names = [name for own in module._all_weights for name in own]
        module._init_flat_weights()
