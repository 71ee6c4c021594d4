"""How much of a model's time is spent inside its recurrent layers, forward and backward.

Forward: hooks around the call of each layer. Backward: from before the first node of the graph that the call
made to after the last. Autograd runs the nodes of a call one after the other, the latest made first.
"""

import time
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from backtime import nn as ours

LAYERS = (nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell)
LAYERS += (ours.RNN, ours.GRU, ours.LSTM, ours.RNNCell, ours.GRUCell, ours.LSTMCell)


class Inside:
    """Counts of the calls of a model's recurrent layers, and the seconds spent in them."""

    def __init__(self, model: nn.Module) -> None:
        """Watch every recurrent layer of the model."""
        self.calls = 0
        self.forward = self.backward = self._began = self._back_began = 0.0
        for module in model.modules():
            if isinstance(module, LAYERS):
                module.register_forward_pre_hook(self._enter, with_kwargs=True)
                module.register_forward_hook(self._leave, with_kwargs=True)

    def counts(self) -> dict[str, float]:
        """What has been seen so far."""
        return {"calls": self.calls, "forward": self.forward, "backward": self.backward}

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._began = time.perf_counter()

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        self.forward += time.perf_counter() - self._began
        self.calls += 1
        below = {t.grad_fn for t in tensors((args, kwargs))}
        tops = {t.grad_fn for t in tensors(output)} - {None}
        for top in tops:
            top.register_prehook(lambda grads: self._first())
        if tops:
            last = min(nodes(tops, below), key=lambda node: node._sequence_nr())
            last.register_hook(lambda into, out: self._last())

    def _first(self) -> None:
        self._back_began = self._back_began or time.perf_counter()

    def _last(self) -> None:
        self.backward += time.perf_counter() - self._back_began
        self._back_began = 0.0


def tensors(found: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dictionaries; a packed sequence is a tuple."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, dict):
        yield from tensors(tuple(found.values()))
    elif isinstance(found, tuple | list):
        for part in found:
            yield from tensors(part)


def nodes(tops: set[Any], below: set[Any]) -> set[Any]:
    """The nodes of the graph from ``tops`` down to those ``below`` and to the parameters, both left out."""
    seen: set[Any] = set()
    waiting = list(tops)
    while waiting:
        node = waiting.pop()
        if node in seen or node in below or type(node).__name__ == "AccumulateGrad":
            continue
        seen.add(node)
        waiting += [next_node for next_node, _ in node.next_functions if next_node is not None]
    return seen
