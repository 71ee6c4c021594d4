"""The layers of a model file with what lies above them, step by step: NumPy and the engine, no PyTorch."""

from typing import Protocol

import backtime.kernels as kernels
from backtime.models.recurrent import RecurrentConfig
from backtime.reference.weights import Array, Integers, Weights
from backtime.runtime.layers import Tensors, above, product, weights_of


class Stream(Protocol):
    """What ``kernels.Stack.stream`` gives: a place in sequences, with its state."""

    state: list[Array]

    def step(self, x: Array | Integers | int) -> Array:
        """The output (B, V) after one step; the next step may overwrite it."""


class Stack(Protocol):
    """What ``kernels.Stack`` is to those who step it."""

    layers: list[Weights]

    @property
    def native(self) -> bool:
        """Whether each row has the bits that it has alone."""

    def zero_state(self, B: int = 1) -> list[Array]:
        """Zeros: for each layer h, and c for the LSTM."""

    def step(self, x: Array | Integers, state: list[Array]) -> Array:
        """The output (B, V) after one step; ``state`` advances in place."""

    def stream(self, B: int = 1) -> Stream:
        """A place in ``B`` sequences, from a state of zeros."""


def stack_of(
    config: RecurrentConfig,
    tensors: Tensors,
    name: str,
    *,
    head: bool = True,
    embedding: Array | None = None,
    backend: str = "auto",
) -> Stack:
    """The layers ``NAME`` in one direction and, with ``head``, the output product that every network has.

    Plain layers are one call of the engine; skip connections and output layers go between several.
    """
    layers = [each[0] for each in weights_of(config, tensors, name)]
    Wy, by = (tensors["head.weight"], tensors["head.bias"]) if head else (None, None)
    options = {"backend": backend, **config.options()}
    if not config.skip_connections and not (head and config.output_layers):
        return kernels.Stack(layers, config.cell, Wy, by, embedding=embedding, **options)
    groups = [[own] for own in layers] if config.skip_connections else [layers]
    parts = [
        kernels.Stack(own, config.cell, embedding=None if n else embedding, **options)
        for n, own in enumerate(groups)
    ]
    return DeepStack(parts, config, tensors, head)


class DeepStack:
    """Parts whose outputs add up to the input of the next, then output layers and the output product."""

    def __init__(
        self, parts: list[kernels.Stack], config: RecurrentConfig, tensors: Tensors, head: bool
    ) -> None:
        """Take the parts; without ``head`` the output is that of the last layer."""
        self.parts, self.config, self.tensors, self.head = parts, config, tensors, head
        self.layers = [own for part in parts for own in part.layers]

    @property
    def native(self) -> bool:
        """Whether the engine steps every part: then each row has the bits that it has alone."""
        return all(part.native for part in self.parts)

    def zero_state(self, B: int = 1) -> list[Array]:
        """Zeros: for each layer h, and c for the LSTM."""
        return [own for part in self.parts for own in part.zero_state(B)]

    def step(self, x: Array | Integers, state: list[Array]) -> Array:
        """The output (B, V) after one step; ``state`` advances in place."""
        n = len(state) // len(self.parts)
        y = self.parts[0].step(x, state[:n])
        for number, part in enumerate(self.parts[1:], 1):
            y = y + part.step(y, state[number * n : (number + 1) * n])
        return self.output(y)

    def stream(self, B: int = 1) -> "DeepStream":
        """A place in ``B`` sequences, from a state of zeros."""
        return DeepStream(self, B)

    def output(self, y: Array) -> Array:
        """What lies above the recurrent layers."""
        if not self.head:
            return y
        y = above(self.config, self.tensors, y)
        found: Array = product(y, self.tensors["head.weight"]) + self.tensors["head.bias"]
        return found


class DeepStream:
    """A place in sequences, with its state; made by ``DeepStack.stream``."""

    def __init__(self, own: DeepStack, B: int) -> None:
        """Start from zeros."""
        self._stack, self._parts = own, [part.stream(B) for part in own.parts]
        self.state = [array for part in self._parts for array in part.state]

    def step(self, x: Array | Integers | int) -> Array:
        """The output (B, V) after one step of ``x``: (B, I), integers (B,), or one integer where B is 1."""
        y = self._parts[0].step(x)
        for part in self._parts[1:]:
            y = y + part.step(y)
        return self._stack.output(y)
