"""All layers, one after the other, each direction by itself: for the paths that do not loop themselves."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backtime.nn.backends import composed
from backtime.nn.layouts import Layout, layout_of
from backtime.nn.types import REVERSE, Call, Network, States, Weights

OneDirection = Callable[[Call, Tensor, States, Weights], tuple[Tensor, States]]


class Trace(NamedTuple):
    """Every step of one layer and direction, rows as those of the layer's output."""

    h: Any  # (T, B, P)
    c: Any  # (T, B, H) of the LSTM, else None
    gates: dict[str, Any]  # each (T, B, H): i f g o; r z n; of the RNN and the Jordan network their z

    def each(self, form: Callable[[Any], Any]) -> "Trace":
        """Every part of it brought into a form."""
        c = None if self.c is None else form(self.c)
        return Trace(form(self.h), c, {name: form(gate) for name, gate in self.gates.items()})


def run(
    network: Network, x: Tensor, state: States | None, weights: list[Tensor], one_direction: OneDirection
) -> tuple[Tensor | None, States]:
    """``y`` and the last state as the caller has them, by ``one_direction`` of one layer at a time."""
    layout = layout_of(network, x)
    y, ends = layout.x, []
    each = network.each(weights)
    calls = _calls(network, layout, len(each))
    starts = _starts(network, layout, state, each)
    for layer in range(len(calls) // network.per_layer):
        directions = range(layer * network.per_layer, (layer + 1) * network.per_layer)
        results = [one_direction(calls[k], y, starts[k], each[k]) for k in directions]
        ends += [end for _, end in results]
        y = _joined(network, [output for output, _ in results], layer)
    last = tuple(layout.state(torch.stack(parts)) for parts in zip(*ends, strict=True))
    return None if network.one_step else layout.output(y), last


def run_traced(
    network: Network, x: Tensor, state: States | None, weights: list[Tensor]
) -> tuple[Tensor | None, States, tuple[Trace, ...]]:
    """By plain torch operations, with every step of every layer and direction."""
    layout, steps = layout_of(network, x), []

    def one_direction(*call: Any) -> tuple[Tensor, States]:
        result = composed.forward(*call)
        h, *c = (layout.output(part) for part in result.states)
        gates = {name: layout.output(gate) for name, gate in result.gates.items()}
        steps.append(Trace(h, c[0] if c else None, gates))
        return result.y, result.last

    y, last = run(network, x, state, weights, one_direction)
    return y, last, tuple(steps)


def _calls(network: Network, layout: Layout, K: int) -> list[Call]:
    """Of each of the K layers and directions."""
    options = network.options or ({},) * K
    cuts = {} if network.reset is None else {"reset": layout.rows(network.reset)}
    reverse = [network.directions == REVERSE or k % network.per_layer == 1 for k in range(K)]
    return [Call(network.cell, options[k] | cuts, layout.batch_sizes, reverse[k]) for k in range(K)]


def _starts(network: Network, layout: Layout, state: States | None, each: list[Weights]) -> list[States]:
    """The first state of each layer and direction, in the order of the rows; nothing for zeros."""
    if state is not None:
        parts = [layout.state_rows(part[None] if network.one_step else part) for part in state]
        return list(zip(*(part.unbind(0) for part in parts), strict=True))
    if layout.has_empty:  # whose sequences no row tells
        return [composed.zeros(network.cell, layout.B, w) for w in each]
    return [()] * len(each)


def _joined(network: Network, outputs: list[Tensor], layer: int) -> Tensor:
    """The output of a layer from those of its directions."""
    y = outputs[0]
    if len(outputs) == 2:
        y = torch.add(*outputs) if network.sums else torch.cat(outputs, -1)
    return y * network.masks[layer] if layer < len(network.masks) else y
