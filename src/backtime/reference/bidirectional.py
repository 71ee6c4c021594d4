"""Both directions of a layer (Schuster and Paliwal 1997): two layers, their outputs side by side.

    y_t = [y_t of the forward layer, y_t of the reverse layer]        (B, 2P)

Each direction has its own weights, state and options. ``x`` is the same for both, so its gradients add up.
"""

from typing import Any, NamedTuple

import numpy as np

from backtime.errors import UsageError
from backtime.reference import layer
from backtime.reference.checks.arrays import check_array, check_shape
from backtime.reference.layer import State
from backtime.reference.weights import Array, Integers, Weights

Parts = tuple[Array | None, ...] | None


class Saved(NamedTuple):
    """What ``backward`` needs: each direction's own, and the shape of y."""

    forward: layer.Saved
    reverse: layer.Saved
    y: tuple[int, ...]


def forward(
    cell: str,
    x: Array | Integers,
    states: tuple[Parts, Parts] | None,
    weights: tuple[Weights, Weights],
    batch_sizes: Integers | None = None,
    options: tuple[dict[str, Any], dict[str, Any]] = ({}, {}),
) -> tuple[Array, tuple[State, State], Saved]:
    """``y`` (T, B, 2P) or (R, 2P), the last state of each direction, and what ``backward`` needs."""
    states = pair("states", states or (None, None))
    pair("weights", weights)
    pair("options", options)
    y_f, last_f, saved_f = layer.forward(cell, x, states[0], weights[0], batch_sizes, False, **options[0])
    y_r, last_r, saved_r = layer.forward(cell, x, states[1], weights[1], batch_sizes, True, **options[1])
    y = beside(y_f, y_r)
    return y, (last_f, last_r), Saved(saved_f, saved_r, y.shape)


def backward(
    saved: Saved, dy: Array | None, dstates: tuple[Parts, Parts] | None
) -> tuple[Array | None, tuple[State, State], tuple[Weights, Weights]]:
    """``(dx, dstates, dweights)``, pairs but for dx, from ``dy`` (T, B, 2P) or (R, 2P) and ``dstates``."""
    dstates = pair("dstates", dstates or (None, None))
    dy_f, dy_r = halves(dy, saved.y)
    dx_f, dstate_f, dweights_f = layer.backward(saved.forward, dy_f, dstates[0])
    dx_r, dstate_r, dweights_r = layer.backward(saved.reverse, dy_r, dstates[1])
    return added(dx_f, dx_r), (dstate_f, dstate_r), (dweights_f, dweights_r)


def beside(y_f: Array, y_r: Array) -> Array:
    """The outputs of both directions side by side, the forward half first."""
    if y_f.shape != y_r.shape:
        raise UsageError(f"y of the reverse direction has shape {y_r.shape}; expected {y_f.shape} as forward")
    return np.concatenate([y_f, y_r], axis=-1)


def halves(dy: Array | None, y: tuple[int, ...]) -> tuple[Array | None, Array | None]:
    """``beside`` on the way back: each direction's half of ``dy``, which has the shape of ``y``."""
    if dy is None:
        return None, None
    check_array("dy", dy)
    check_shape("dy", dy, "(T, B, 2P)" if len(y) == 3 else "(R, 2P)", y)
    P = dy.shape[-1] // 2
    return dy[..., :P], dy[..., P:]


def added(dx_f: Array | None, dx_r: Array | None) -> Array | None:
    """The gradient of the ``x`` that both directions read."""
    return None if dx_f is None or dx_r is None else dx_f + dx_r


def pair(name: str, value: Any) -> Any:
    """One for each direction."""
    if not isinstance(value, tuple | list) or isinstance(value, Weights) or len(value) != 2:
        raise UsageError(f"{name} is a {type(value).__name__}; expected a pair (forward, reverse)")
    return value
