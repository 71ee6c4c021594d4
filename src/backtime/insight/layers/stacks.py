"""From a recorded call to levels that can be travelled: layers, directions, lengths, states."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from backtime.insight.layers.levels import Gradients, Level, run_level
from backtime.insight.layers.recording import Recording, dense, options_of, weight_names
from backtime.nn import parameters
from backtime.nn.types import Call, States, Weights


class Stack(NamedTuple):
    """Levels through which a gradient travels together, with what the loss injects into each."""

    levels: list[Level]
    inject: list[States]  # for each level (dh,) or (dh, dc), (T, B, .)
    full: list[Gradients] | None  # for each level the whole gradient of its weights, by field


def run_layers(call: Recording) -> tuple[list[list[Level]], Tensor | None]:
    """The levels of each layer, one for each direction, from the bottom up; and the lengths."""
    layer = call.layer
    hx, lengths, reset = _arguments(call)
    x, lengths = dense(call.args[0] if call.args else call.kwargs["input"], layer, lengths)
    T, B = x.shape[:2]
    valid = None
    if lengths is not None:
        valid = torch.arange(T, device=x.device)[:, None] < lengths.to(x.device)
        x = x * valid if not x.is_floating_point() else torch.where(valid[..., None], x, 0)
    if reset is not None:
        reset = dense(reset, layer, None)[0]
    states = _states(layer, hx, B)
    D, found, n = 2 if layer.bidirectional else 1, [], 0
    for number in range(layer.num_layers):
        own = []
        for direction in range(D):
            own.append(_level(call, number, bool(direction), x, states[n], lengths, valid, reset))
            n += 1
        outputs = [turn(level.after[0], lengths) if d else level.after[0] for d, level in enumerate(own)]
        x = sum(outputs) if layer.settings.merge == "sum" else torch.cat(outputs, -1)  # type: ignore[assignment]
        found.append(own)
    return found, lengths


def turn(rows: Tensor, lengths: Tensor | None) -> Tensor:
    """Each sequence (T, B, ...) from its end to its start; what lies beyond its length stays there."""
    if lengths is None:
        return rows.flip(0)
    T = len(rows)
    t = torch.arange(T, device=rows.device)[:, None]
    own = lengths.to(rows.device)
    index = torch.where(t < own, own - 1 - t, t)  # (T, B)
    return rows[index, torch.arange(rows.shape[1], device=rows.device)]


def injected(call: Recording, found: list[list[Level]], lengths: Tensor | None) -> list[list[States]]:
    """What the loss sends into each layer and direction: through y at the top, and the last states."""
    layer, D = call.layer, len(found[0])
    zeros = [[tuple(torch.zeros_like(part) for part in level.after) for level in own] for own in found]
    if call.dy is not None:
        dy = call.y._replace(data=call.dy) if isinstance(call.y, PackedSequence) else call.dy
        rows = dense(dy, layer, None)[0]
        halves = (rows,) * D if layer.settings.merge == "sum" or D == 1 else rows.chunk(2, -1)
        for d, (own, half) in enumerate(zip(zeros[-1], halves, strict=True)):
            own[0].add_(turn(half, lengths) if d else half)
    for part, dlast in enumerate(call.dlast):
        if dlast is None:
            continue
        each = dlast if dlast.ndim == 3 else dlast.unsqueeze(1)
        for n, value in enumerate(each):
            target = zeros[n // D][n % D][part]
            ends, there = _ends(len(target), lengths, target)
            target[ends, torch.arange(len(ends), device=target.device)] += value * there[:, None]
    return zeros


def full_gradients(call: Recording, found: list[list[Level]]) -> list[list[Gradients]]:
    """The ordinary gradient of every weight, by the engine: what the sum over lags must come to."""
    layer = call.layer
    with torch.enable_grad():
        kwargs = {key: _detached(value) for key, value in call.kwargs.items() if key != "trace"}
        y, last = layer(*_detached(call.args), **kwargs)
        last = last if isinstance(last, tuple) else (last,)
        pairs = [
            (y.data if isinstance(y, PackedSequence) else y, call.dy),
            *zip(last, call.dlast, strict=True),
        ]
        pairs = [(out, d) for out, d in pairs if d is not None]
        names = [name for own in found for level in own for name in level.parameters.values()]
        values = [getattr(layer, name) for name in names]
        grads = torch.autograd.grad(
            [out for out, _ in pairs], values, [d for _, d in pairs], allow_unused=True
        )
    by_name = {
        name: torch.zeros_like(value) if g is None else g
        for name, value, g in zip(names, values, grads, strict=True)
    }
    return [[{f: by_name[name] for f, name in level.parameters.items()} for level in own] for own in found]


def _level(
    call: Recording,
    number: int,
    reverse: bool,
    x: Tensor,
    start: States,
    lengths: Tensor | None,
    valid: Tensor | None,
    reset: Tensor | None,
) -> Level:
    layer = call.layer
    D = 2 if layer.bidirectional else 1
    fields = weight_names(layer)[number * D + reverse]
    weights = Weights(**{f: getattr(layer, name).detach() for f, name in fields.items()})
    options = options_of(layer)
    if reset is not None:
        options["reset"] = turn(_after(reset), lengths) if reverse else reset
    x = turn(x, lengths) if reverse else x
    name = f"{call.name} layer {number}" + (", reverse" if reverse else "")
    return run_level(name, Call(layer.cell, options), weights, fields, x.detach(), start, valid)


def _after(reset: Tensor) -> Tensor:
    """A cut lies between two steps: seen from the end it comes before the step that it used to come after."""
    return torch.cat([reset[1:], torch.zeros_like(reset[:1])])


def _arguments(call: Recording) -> tuple[Any, Any, Any]:
    """The state, the lengths and the resets of the call."""
    hx = call.args[1] if len(call.args) > 1 else call.kwargs.get("hx")
    return hx, call.kwargs.get("lengths"), call.kwargs.get("reset")


def _states(layer: Any, hx: Any, B: int) -> list[States]:
    """The first state of each layer and direction; empty for zeros."""
    n = len(weight_names(layer))
    if hx is None:
        if not layer.settings.learned_state:
            return [()] * n
        hx = tuple(getattr(layer, name)[:, None].expand(-1, B, -1) for name in parameters.state_widths(layer))
    parts = [part.detach() for part in (hx if isinstance(hx, tuple) else (hx,))]
    parts = [part if part.ndim == 3 else part.unsqueeze(1) for part in parts]
    return list(zip(*(part.unbind(0) for part in parts), strict=True))


def _ends(T: int, lengths: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
    """The last step of each sequence (B,), and whether it has one."""
    if lengths is None:
        lengths = torch.full((like.shape[1],), T)
    lengths = lengths.to(like.device)
    return (lengths - 1).clamp(min=0), lengths > 0


def _detached(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, PackedSequence):
        return value._replace(data=value.data.detach())
    return tuple(_detached(v) for v in value) if isinstance(value, tuple) else value
