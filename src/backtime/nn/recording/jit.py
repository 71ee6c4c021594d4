"""``torch.jit.trace``: PyTorch's own operation where it has one, else ``backtime::layer``.

The one can be saved, frozen, exported and loaded without backtime. The other is the engine: a process that
loads it must import ``backtime.nn`` first.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.jit._trace import TracerWarning  # torch.jit.TracerWarning, as the types have it
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from backtime.nn import backends
from backtime.nn.backends import composed, cudnn, layers
from backtime.nn.call_validation import check_call
from backtime.nn.parameters import state_widths
from backtime.nn.recording.torchs import class_of, name_of, noise_of
from backtime.nn.types import States
from backtime.nn.validation import CallError


def is_torchs(layer: Any) -> bool:
    """Whether ``torch.nn``'s operation computes what the layer does; a learned state can be given to it."""
    return noise_of(layer) is None and cudnn.has(layer._network())


def run_of(layer: Any) -> Callable[..., Any]:
    """What stands in a trace for a call of the layer."""
    return partial(_run, layer)


def step_of(cell: Any) -> Callable[..., Any]:
    """What stands there for a step of a cell: plain operations."""
    return partial(_step, cell)


def _run(
    layer: Any, x: Any, hx: States | None, lengths: Any, reset: Tensor | None, trace: bool | None, _: bool
) -> tuple[Any, ...]:
    if lengths is not None:
        raise CallError(
            "lengths= would be constants in the record of torch.jit.trace; expected None, and the input by "
            "torch.nn.utils.rnn.pack_padded_sequence"
        )
    if trace:
        raise CallError("trace=True cannot be recorded by torch.jit.trace; expected False")
    if reset is None and is_torchs(layer):
        return _torchs(layer, x, hx)
    if isinstance(x, PackedSequence):
        raise CallError(
            f"{name_of(layer)} with options that torch.nn has not takes no PackedSequence under "
            "torch.jit.trace; expected a padded batch"
        )
    with (
        warnings.catch_warnings()
    ):  # the shapes are looked at, but nothing comes of it that a record would keep
        warnings.simplefilter("ignore", TracerWarning)
        return layer._run(x, hx, None, reset, False, True)  # type: ignore[no-any-return]


def _torchs(layer: Any, x: Any, hx: States | None) -> tuple[Any, ...]:
    """As ``torch.nn`` records it itself: with the sizes of the input, not those of the example."""
    like = layer._weights()[0]
    rows, hx = backends.in_type(x.data if isinstance(x, PackedSequence) else x, hx, like)
    if not rows.is_floating_point():
        rows = functional.one_hot(rows.long(), layer.input_size).to(like.dtype)
    if hx is None and layer.settings.learned_state:
        hx = _learned_state(layer, x, rows)
    x = x._replace(data=rows) if isinstance(x, PackedSequence) else rows
    state = hx if hx is None or layer.cell == "lstm" else hx[0]
    kind: Any = class_of(layer)
    with torch.autocast(like.device.type, enabled=False):
        y, last = kind.forward(layer, x, state)
    return y, last if layer.cell == "lstm" else (last,), None


def _learned_state(layer: Any, x: Any, rows: Tensor) -> States:
    parts = tuple(getattr(layer, name) for name in state_widths(layer))
    if not isinstance(x, PackedSequence) and rows.ndim == 2:
        return parts
    B = x.batch_sizes[0] if isinstance(x, PackedSequence) else rows.shape[0 if layer.batch_first else 1]
    return tuple(part.unsqueeze(1).expand(-1, B, -1) for part in parts)


def _step(cell: Any, x: Any, state: States | None, _: bool) -> States:
    network, weights = cell._call()
    x, state = backends.in_type(x, state, weights[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TracerWarning)
        check_call(network, x, state, weights)
        return layers.run(network, x, state, weights, composed.run)[1]
