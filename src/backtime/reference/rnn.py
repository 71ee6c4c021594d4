"""Elman RNN (Elman 1990), forward and backward through time. Derivation: docs/rnn.md.

    z_t = Wx x_t + bx + Wh h_{t-1} + bh
    h_t = f(z_t)
    y_t = h_t

``f`` is tanh, relu, sigmoid or identity.
"""

from typing import NamedTuple

import numpy as np

from backtime.reference.activations import activation as named
from backtime.reference.checks import check_call, check_cotangents
from backtime.reference.weights import (
    Array,
    Integers,
    Weights,
    input_gradients,
    input_product,
    or_zeros,
    rows,
)

State = tuple[Array]  # (h,), h is (B, H)


class Saved(NamedTuple):
    """What ``backward`` needs: the arrays of the call themselves, so leave them as they are until then."""

    x: Array | Integers  # (T, B, I) or (T, B)
    h: Array  # (T+1, B, H); h[0] is the initial state, h[t+1] the state after step t
    weights: Weights
    activation: str


def step(
    x: Array | Integers, state: State, weights: Weights, activation: str = "tanh"
) -> tuple[State, Array]:
    """One step of ``x`` (B, I), or (B,) integers: the new state and the pre-activation ``z`` (B, H).

    Unlike ``forward`` it checks nothing and changes nothing.
    """
    Wx, Wh, bx, bh = weights
    (h,) = state
    z = input_product(x, Wx) + bx + h @ Wh.T + bh  # (B, H)
    h = named(activation).f(z)  # (B, H)
    return (h,), z


def forward(
    x: Array | Integers, state: tuple[Array | None] | None, weights: Weights, activation: str = "tanh"
) -> tuple[Array, State, Saved]:
    """A whole sequence: ``y`` (T, B, H), the last state ``(h,)`` with h (B, H), and what ``backward`` needs.

    ``x`` is (T, B, I), or (T, B) integers for one-hot input. ``state`` is ``(h0,)``, None for zeros.
    ``activation`` is tanh, relu, sigmoid or identity.
    Raises ``UsageError`` for a shape, type or activation that does not fit.
    """
    check_call("rnn", x, state, weights)
    named(activation)  # refuses a name that is none, even where there is no step to take
    (T, B), H = x.shape[:2], weights.Wh.shape[1]
    h = np.empty((T + 1, B, H), weights.Wh.dtype)  # (T+1, B, H)
    (h[0],) = or_zeros(state, 1, B, H, h.dtype)
    for t in range(T):
        (h[t + 1],), _ = step(x[t], (h[t],), weights, activation)
    return h[1:].copy(), (h[T].copy(),), Saved(x, h, weights, activation)


def backward(
    saved: Saved, dy: Array | None, dstate: tuple[Array | None] | None
) -> tuple[Array | None, State, Weights]:
    """``(dx, (dh0,), dweights)`` from ``dy`` (T, B, H) and ``dstate = (dh,)`` of the last state.

    ``dy`` and ``dstate`` may be None for zeros. ``dx`` is (T, B, I), None for integer input.
    Raises ``UsageError`` for a shape or type that does not fit.
    """
    x, h, weights, activation = saved
    Wx, Wh, _, _ = weights
    T, B, H = h[1:].shape
    check_cotangents("rnn", dy, dstate, (T, B, H), h.dtype)
    (dh,) = or_zeros(dstate, 1, B, H, h.dtype)  # (B, H)
    dz = np.empty((T, B, H), h.dtype)  # (T, B, H)
    for t in reversed(range(T)):
        if dy is not None:
            dh = dh + dy[t]  # what y_t hands back, on top of what step t+1 did
        dz[t] = dh * named(activation).df(h[t + 1])
        dh = dz[t] @ Wh
    dbh = dz.sum((0, 1))  # (H,)
    dWh = rows(dz).T @ rows(h[:-1])  # (H, H)
    dbx = dbh.copy()  # (H,)
    dx, dWx = input_gradients(dz, x, Wx)  # (T, B, I), (H, I)
    return dx, (dh,), Weights(dWx, dWh, dbx, dbh)
