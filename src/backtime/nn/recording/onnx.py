"""``torch.onnx.export``: the nodes RNN, GRU and LSTM of ONNX, one for each layer, whatever the exporter.

    X (T, B, I), W (D, G*H, I), R (D, G*H, H), B (D, 2*G*H), sequence_lens (B,), initial_h and initial_c
    (D, B, H), P (D, 3H)  ->  Y (T, D, B, H), Y_h (D, B, H), Y_c (D, B, H)

T and B are what the input has when the model runs. What these nodes cannot do is refused in one line.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from backtime.interchange import gates
from backtime.nn.recording.torchs import name_of, noise_of
from backtime.nn.types import Network, States, Weights
from backtime.nn.validation import CallError

OPERATORS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
ACTIVATIONS = ("tanh", "relu", "sigmoid")
FIELDS = ("Wx", "Wh", "bx", "bh", "p")


def exporting() -> bool:
    """Whether ``torch.onnx.export`` is at work; it tells that to all but ``torch.compile``'s tracer."""
    newer = sys.modules.get("torch.onnx._internal.exporter._flags")
    return torch.onnx.is_in_onnx_export() or bool(getattr(newer, "_is_onnx_exporting", False))


def run_of(layer: Any) -> Callable[..., Any]:
    """What stands in an exported model for a call of the layer."""
    return partial(_run, layer)


def _run(
    layer: Any, x: Any, hx: States | None, lengths: Any, reset: Tensor | None, trace: bool | None, _: bool
) -> tuple[Any, ...]:
    network: Network = layer._network()
    why = _obstacle(layer, network, x, lengths, reset, trace)
    if why is not None:
        raise CallError(f"{name_of(layer)} cannot be exported to ONNX with {why}")
    each = network.each(layer._weights())
    rows, batched = _rows(network, x, each[0])
    sizes = None if lengths is None else lengths.to(torch.int32)
    y, state = _layers(network, rows, each, sizes, _starts(layer, hx, batched, rows.shape[1]))
    if not batched:
        return y.squeeze(1), tuple(part.squeeze(1) for part in state), None
    return y.transpose(0, 1) if network.batch_first else y, state, None


def _layers(
    network: Network, y: Tensor, each: list[Weights], sizes: Tensor | None, starts: States | None
) -> tuple[Tensor, States]:
    """A node for each layer: the output of the last one, (T, B, P), and the last state of all."""
    ends, D = [], network.per_layer
    for at in range(0, len(each), D):
        if at and network.dropout:
            y = functional.dropout(y, network.dropout, True)
        start = None if starts is None else tuple(part[at : at + D] for part in starts)
        Y, *last = _node(network, y, each[at : at + D], sizes, start)
        y = Y.sum(1) if network.sums else Y.transpose(1, 2).flatten(2)
        ends.append(last)
    return y, tuple(torch.cat(parts) for parts in zip(*ends, strict=True))


def _obstacle(
    layer: Any, network: Network, x: Any, lengths: Any, reset: Tensor | None, trace: bool | None
) -> str | None:
    """What the nodes have not, and what to do about it."""
    options = network.options[0] if network.options else {}
    if network.cell not in OPERATORS:
        return "its own cell; ONNX has RNN, GRU and LSTM"
    if not set(network.fields) <= set(FIELDS):
        return "layer_norm; expected it off" if "gx" in network.fields else "proj_size; expected 0"
    if options.get("activation", "tanh") not in ACTIVATIONS:
        return f"nonlinearity={options['activation']!r}; expected one of {', '.join(ACTIVATIONS)}"
    noise = noise_of(layer)
    if noise is not None:
        return f"{', '.join(noise)}; expected none"
    if isinstance(x, PackedSequence):
        return "a PackedSequence; expected a padded batch and lengths="
    if lengths is not None and not isinstance(lengths, Tensor):
        return "lengths in a list, which would be constants; expected a tensor"
    if reset is not None:
        return "reset; expected None"
    return "trace=True; expected False" if trace else None


def _rows(network: Network, x: Tensor, first: Weights) -> tuple[Tensor, bool]:
    """The input as (T, B, I), and whether it had an axis for B."""
    if not x.is_floating_point():
        x = functional.one_hot(x.long(), first.Wx.shape[1]).to(first.Wx.dtype)
    if x.ndim not in (2, 3) or x.shape[-1] != first.Wx.shape[1]:
        raise CallError(
            f"input has shape {tuple(x.shape)}; expected (T, B, I) or (T, I) with I = {first.Wx.shape[1]}"
        )
    if x.ndim == 2:
        return x.unsqueeze(1), False
    return x.transpose(0, 1) if network.batch_first else x, True


def _starts(layer: Any, hx: States | None, batched: bool, B: Any) -> States | None:
    if hx is not None:
        return hx if batched else tuple(part.unsqueeze(1) for part in hx)
    if not layer.settings.learned_state:
        return None
    names = ("h0", "c0") if layer.cell == "lstm" else ("h0",)
    return tuple(getattr(layer, name).unsqueeze(1).expand(-1, B, -1) for name in names)


def _node(
    network: Network, x: Tensor, each: list[Weights], sizes: Tensor | None, start: States | None
) -> tuple[Tensor, ...]:
    """``Y``, ``Y_h`` and of the LSTM ``Y_c`` of one layer."""
    W, R, B, P = _arrays(network.cell, each)
    h0, c0 = (*(start or ()), None, None)[:2]
    lstm = network.cell == "lstm"
    inputs = (x, W, R, B, sizes, h0, c0, P) if lstm else (x, W, R, B, sizes, h0)
    D, H, rows = len(each), each[0].Wh.shape[1], x.shape[1]
    shapes = [(x.shape[0], D, rows, H), *[(D, rows, H)] * (2 if lstm else 1)]
    operator, attributes = OPERATORS[network.cell], _attributes(network, D, H)
    if torch._C._get_tracing_state() is not None:
        made = _Node.apply(operator, attributes, shapes, *inputs)  # type: ignore[no-untyped-call]
        return tuple(made)
    return tuple(
        torch.onnx.ops.symbolic_multi_out(
            operator, inputs, attributes, dtypes=[x.dtype] * len(shapes), shapes=shapes
        )
    )


def _arrays(cell: str, each: list[Weights]) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """W, R, B and P of one layer, in ONNX's order of the gates."""
    own, theirs = gates.OWN[cell], gates.ONNX[cell]

    def ordered(a: Any, given: str = own, wanted: str = theirs) -> Tensor:
        blocks = a.chunk(len(given))
        return torch.cat([blocks[given.index(gate)] for gate in wanted])

    W, R = (torch.stack([ordered(w[field]) for w in each]) for field in (0, 1))
    B = P = None
    if each[0].bx is not None:
        B = torch.stack([torch.cat([ordered(b) for b in (w.bx, w.bh) if b is not None]) for w in each])
    if each[0].p is not None:
        peep = [ordered(w.p, gates.OWN_PEEPHOLE, gates.ONNX_PEEPHOLE) for w in each if w.p is not None]
        P = torch.stack([p.flatten() for p in peep])
    return W, R, B, P


def _attributes(network: Network, D: int, H: int) -> dict[str, Any]:
    options = network.options[0] if network.options else {}
    found = {"direction": "bidirectional" if D == 2 else "forward", "hidden_size": H}
    if network.cell == "rnn":
        return found | {"activations": [options.get("activation", "tanh").capitalize()] * D}
    if network.cell == "gru":
        return found | {"linear_before_reset": int(options.get("reset_after", True))}
    return found | ({"input_forget": 1} if options.get("coupled") else {})


class _Node(Function):
    """The node for the exporter that goes by ``torch.jit.trace``; nobody reads the zeros that it computes."""

    @staticmethod
    def symbolic(g: Any, operator: str, attributes: dict[str, Any], shapes: Any, *inputs: Any) -> Any:
        none = g.op("prim::Constant")
        none.setType(torch._C.OptionalType.ofTensor())
        named = {f"{n}_{'s' if _texts(v) else 'i'}": v for n, v in attributes.items()}
        given = [none if one is None else one for one in inputs]
        return g.op(operator, *given, outputs=len(shapes), **named)

    @staticmethod
    def forward(
        ctx: Any, operator: str, attributes: dict[str, Any], shapes: Any, *inputs: Any
    ) -> tuple[Tensor, ...]:
        return tuple(inputs[0].new_zeros([int(n) for n in shape]) for shape in shapes)


def _texts(value: Any) -> bool:
    return isinstance(value if isinstance(value, str) else value[0] if isinstance(value, list) else 0, str)
