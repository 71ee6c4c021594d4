"""A call that somebody takes down instead of running it: who does, and what stands in the record.

- ``jit``       ``torch.jit.trace``, and ONNX by it (``dynamo=False``)
- ``script``    ``torch.jit.script``
- ``fx``        ``torch.fx.symbolic_trace``
- ``onnx``      ``torch.onnx.export``: nodes RNN, GRU and LSTM
- ``quantize``  quantization that goes by the type of a module
- ``prune``     structured pruning, which does so too

``torch.compile``, ``torch.export`` and ``make_fx`` need nothing of this: for them a layer is one operation of
torch's library (``backends.compiled``). What cannot be recorded is refused in one line: a tracer that sees no
operation would take the engine's result for a constant.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Proxy

from backtime.nn.recording import fx, jit, onnx
from backtime.nn.recording.fx import pair

__all__ = ["of_cell", "of_layer", "pair"]


def of_layer(layer: Any, x: Any) -> Callable[..., Any]:
    """What runs a call of the layer, of which ``x`` is the input; its own ``_run`` where nobody records."""
    if isinstance(x, Proxy):
        return fx.leaf_of(layer)
    tracing = torch._C._get_tracing_state() is not None
    if not onnx.exporting():
        return jit.run_of(layer) if tracing else layer._run
    if tracing and jit.is_torchs(layer) and not layer.proj_size:  # by torch.nn's own rules, packed input too
        return jit.run_of(layer)
    return onnx.run_of(layer)


def of_cell(cell: Any, x: Any) -> Callable[..., Any]:
    """What runs a step of the cell; its own ``_step`` where nobody records."""
    if isinstance(x, Proxy):
        return fx.step_of(cell)
    if onnx.exporting() or torch._C._get_tracing_state() is not None:
        return jit.step_of(cell)
    return cell._step  # type: ignore[no-any-return]
