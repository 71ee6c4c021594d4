"""A layer as one operation of torch's library: for the graphs of ``torch.compile`` and ``torch.export``.

``backtime::layer(form, tensors) -> (y, h, c)``; ``form`` says in words what the tensors are. Its backward
pass, ``backtime::layer_backward``, runs the layer once more: an operation can hand on tensors, not a tape.
"""

import math
from typing import Any

import torch
from torch import Tensor

import backtime.kernels as kernels
from backtime.nn.amend import when_loaded
from backtime.nn.backends import binding, composed, engine
from backtime.nn.types import Call, States, Weights

Read = tuple[Call, Tensor, States, Weights]


def run(call: Call, x: Tensor, state: States, weights: Weights) -> tuple[Tensor, States]:
    """One layer in one direction as one operation of the graph."""
    form, tensors = _written(call, x, state, weights)
    y, h, c = layer(form, tensors)
    return y, (h, c) if call.cell == "lstm" else (h,)


def _run(call: Call, x: Tensor, state: States, weights: Weights) -> tuple[Tensor, States]:
    """By the engine, or without one by composed operations: a program may run elsewhere than it was made."""
    if kernels.choose("auto") == "native":
        return engine.run_direction(call, x, state, weights)
    return composed.run(call, x, state, weights)


@torch.library.custom_op("backtime::layer", mutates_args=())
def layer(form: str, tensors: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """``y`` and the last state; ``c`` (0,) where a cell has none."""
    call, x, state, weights = _read(form, tensors)
    with torch.no_grad():
        y, last = _run(call, x, state, weights)
    return y, last[0], last[1] if len(last) > 1 else y.new_empty(0)


@layer.register_fake
def _(form: str, tensors: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    call, x, state, weights = _read(form, tensors)
    like, P = weights.Wx, weights.Wh.shape[1]
    H = P if weights.Wy is None else weights.Wy.shape[1]
    rows = x.shape[:-1] if x.is_floating_point() else x.shape
    B = state[0].shape[0] if state else x.shape[1]  # packed rows come with a state
    c = like.new_empty(B, H) if call.cell == "lstm" else like.new_empty(0)
    return like.new_empty(*rows, P), like.new_empty(B, P), c


@torch.library.custom_op("backtime::layer_backward", mutates_args=())
def layer_backward(form: str, tensors: list[Tensor], dy: Tensor, dh: Tensor, dc: Tensor) -> list[Tensor]:
    """Gradients of x, unless it is integers, of the state and of the weights, as ``_written`` orders them."""
    call, x, state, weights = _read(form, tensors)
    upstream = (dy, dh, dc) if call.cell == "lstm" else (dy, dh)
    if kernels.choose("auto") == "native":
        return _backward_by_the_engine(call, x, state, weights, upstream)
    sources = [t.detach().requires_grad_() for t in _differentiable(form, tensors)]
    return list(torch.autograd.grad(_outputs(call, x, sources, state, weights), sources, upstream))


@layer_backward.register_fake
def _(form: str, tensors: list[Tensor], dy: Tensor, dh: Tensor, dc: Tensor) -> list[Tensor]:
    return [
        torch.empty_like(t, memory_format=torch.contiguous_format) for t in _differentiable(form, tensors)
    ]


def _backward_by_the_engine(
    call: Call, x: Tensor, state: States, weights: Weights, upstream: tuple[Tensor, ...]
) -> list[Tensor]:
    network = engine.network_of(call, weights, len(state[0]) if state else None)
    given = [w for w in weights if w is not None]
    h0, c0 = (*(part.unsqueeze(0) for part in state), None, None)[:2]
    result, saved = binding.forward(network, x, h0, c0, given, True)
    dy, *dlast = upstream
    need = (x.is_floating_point(), bool(state), c0 is not None, *[True] * len(given))
    up = (dy, *(part.unsqueeze(0) for part in dlast))
    dx, dh0, dc0, *dweights = binding.backward(network, saved, (x, h0, c0, *given, result[0]), up, need)
    dstate = [part.squeeze(0) for part in (dh0, dc0) if part is not None]
    return [g for g in (dx, *dstate, *dweights) if g is not None]


def _outputs(
    call: Call, x: Tensor, sources: list[Tensor], state: States, weights: Weights
) -> tuple[Tensor, ...]:
    """By composed operations, from the tensors that the backward pass has gradients of."""
    rest = list(sources)
    x = rest.pop(0) if x.is_floating_point() else x
    start = tuple(rest.pop(0) for _ in state)
    given = Weights(*(None if w is None else rest.pop(0) for w in weights))  # type: ignore[arg-type]
    with torch.enable_grad():
        y, last = composed.run(call, x, start, given)
    return y, *last


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.form, tensors = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, dy: Tensor, dh: Tensor, dc: Tensor) -> tuple[None, list[Tensor | None]]:
    tensors = list(ctx.saved_tensors)
    result = list(layer_backward(ctx.form, tensors, dy, dh, dc))
    gradients = [*([] if tensors[0].is_floating_point() else [None]), *result]
    return None, [*gradients, *[None] * (len(tensors) - len(gradients))]


# What torch.utils.flop_counter takes the operations for.


def _flops(form: str, tensors: list[Tensor], *_: Any, **__: Any) -> int:
    """2 for each row and weight of a product; a one-hot row costs none with Wx."""
    _, x, _, weights = _read(form, tensors)
    floats = x.is_floating_point()
    rows = math.prod(x.shape[:-1] if floats else x.shape)
    matrices = [weights.Wh, weights.Wy, weights.Wx if floats else None]
    return 2 * rows * sum(w.numel() for w in matrices if w is not None)


def _flops_backward(form: str, tensors: list[Tensor], *_: Any, **__: Any) -> int:
    """Of both gradients, and of the layer, which runs once more."""
    return 3 * _flops(form, tensors)


def _count(counter: Any) -> None:
    counter.register_flop_formula(torch.ops.backtime.layer, get_raw=True)(_flops)
    counter.register_flop_formula(torch.ops.backtime.layer_backward, get_raw=True)(_flops_backward)


when_loaded("torch.utils.flop_counter", _count)


layer.register_autograd(_backward, setup_context=_setup)


def _written(call: Call, x: Tensor, state: States, weights: Weights) -> tuple[str, list[Tensor]]:
    """The form in words, and x, state, weights, batch sizes and the options that are tensors."""
    present = [name for name, w in zip(Weights._fields, weights, strict=True) if w is not None]
    tensors = [x, *state, *(w for w in weights if w is not None)]
    if call.batch_sizes is not None:
        tensors.append(call.batch_sizes)
    rowwise = [name for name, value in call.options.items() if isinstance(value, Tensor)]
    tensors += [call.options[name] for name in rowwise]
    words = [
        f"{name}={type(value).__name__}:{value}"
        for name, value in call.options.items()
        if not isinstance(value, Tensor)
    ]
    flags = f"{len(state)} {int(call.reverse)} {int(call.batch_sizes is not None)}"
    return "|".join([call.cell, flags, " ".join(present), " ".join(rowwise), " ".join(words)]), tensors


def _read(form: str, tensors: list[Tensor]) -> Read:
    """The reverse of ``_written``."""
    cell, flags, present, rowwise, words = form.split("|")
    parts, reverse, packed = map(int, flags.split())
    names, rest = present.split(), list(tensors[1 + parts :])
    weights = Weights(**dict(zip(names, rest, strict=False)))
    rest = rest[len(names) :]
    sizes = rest.pop(0) if packed else None
    options: dict[str, Any] = dict(zip(rowwise.split(), rest, strict=True))
    for word in words.split():
        name, _, value = word.partition("=")
        options[name] = _constant(*value.split(":"))
    return Call(cell, options, sizes, bool(reverse)), tensors[0], tuple(tensors[1 : 1 + parts]), weights


def _constant(kind: str, text: str) -> str | bool | float:
    return text == "True" if kind == "bool" else text if kind == "str" else float(text)


def _differentiable(form: str, tensors: list[Tensor]) -> list[Tensor]:
    """x where it is floats, the state and the weights: what the backward pass has gradients of."""
    _, x, state, weights = _read(form, tensors)
    first = [x] if x.is_floating_point() else []
    return [*first, *state, *(w for w in weights if w is not None)]
