"""The nonlinearities of the cells, and their derivatives written in the output ``h = f(z)``.

Every derivative here follows from the output alone, so a forward pass keeps ``h`` and forgets ``z``.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from backtime.errors import UsageError
from backtime.reference.weights import Array


def sigmoid(z: Array) -> Array:
    """``1 / (1 + e^-z)``, exact to rounding at both ends: the exponential of ``-|z|`` cannot overflow."""
    e = np.exp(-np.abs(z))
    h: Array = np.where(z >= 0, z.dtype.type(1), e) / (1 + e)
    return h


def tanh(z: Array) -> Array:
    """``(e^z - e^-z) / (e^z + e^-z)``."""
    h: Array = np.tanh(z)
    return h


def relu(z: Array) -> Array:
    """``max(z, 0)``."""
    h: Array = np.maximum(z, 0)
    return h


def identity(z: Array) -> Array:
    """``z``."""
    return z


def d_sigmoid(h: Array) -> Array:
    """``h (1 - h)``."""
    return h * (1 - h)


def d_tanh(h: Array) -> Array:
    """``1 - h^2``."""
    return 1 - h * h


def d_relu(h: Array) -> Array:
    """1 where the unit is on, 0 where it is off; 0 at the kink, as PyTorch has it."""
    return (h > 0).astype(h.dtype)


def d_identity(h: Array) -> Array:
    """1."""
    return np.ones_like(h)


class Activation(NamedTuple):
    """A function of ``z`` and its derivative as a function of ``h = f(z)``."""

    f: Callable[[Array], Array]
    df: Callable[[Array], Array]


ACTIVATIONS = {
    "tanh": Activation(tanh, d_tanh),
    "relu": Activation(relu, d_relu),
    "sigmoid": Activation(sigmoid, d_sigmoid),
    "identity": Activation(identity, d_identity),
}


def activation(name: str, argument: str = "activation") -> Activation:
    """The activation called ``name``; ``UsageError``, naming the ``argument``, when there is none."""
    if name not in ACTIVATIONS:
        raise UsageError(f"{argument} is {name!r}; expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
