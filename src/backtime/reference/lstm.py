"""LSTM (Hochreiter and Schmidhuber 1997, forget gate of Gers et al. 2000). Derivation: docs/lstm.md.

    i_t = sigmoid(Wx_i x_t + bx_i + Wh_i h_{t-1} + bh_i)      input gate
    f_t = sigmoid(Wx_f x_t + bx_f + Wh_f h_{t-1} + bh_f)      forget gate
    g_t = tanh   (Wx_g x_t + bx_g + Wh_g h_{t-1} + bh_g)      candidate
    o_t = sigmoid(Wx_o x_t + bx_o + Wh_o h_{t-1} + bh_o)      output gate
    c_t = f_t c_{t-1} + i_t g_t
    h_t = o_t tanh(c_t)
    y_t = h_t

``z`` followed by a gate's letter is that gate's pre-activation.
"""

from typing import NamedTuple

import numpy as np

from backtime.reference.activations import d_sigmoid, d_tanh, sigmoid, tanh
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

State = tuple[Array, Array]  # (h, c), each (B, H)


class Saved(NamedTuple):
    """What ``backward`` needs: the arrays of the call themselves, so leave them as they are until then."""

    x: Array | Integers  # (T, B, I) or (T, B)
    h: Array  # (T+1, B, H); h[0] is the initial state, h[t+1] the state after step t
    c: Array  # (T+1, B, H); as h
    gates: Array  # (T, 4, B, H): i f g o
    weights: Weights


def step(x: Array | Integers, state: State, weights: Weights) -> tuple[State, Array, Array, Array, Array]:
    """One step of ``x`` (B, I), or (B,) integers: the new state and the gates i, f, g, o, each (B, H).

    Unlike ``forward`` it checks nothing and changes nothing.
    """
    Wx, Wh, bx, bh = weights
    h, c = state
    z = input_product(x, Wx) + bx + h @ Wh.T + bh  # (B, 4H)
    zi, zf, zg, zo = np.split(z, 4, axis=1)  # each (B, H)
    i = sigmoid(zi)
    f = sigmoid(zf)
    g = tanh(zg)
    o = sigmoid(zo)
    c = f * c + i * g
    h = o * tanh(c)
    return (h, c), i, f, g, o


def forward(
    x: Array | Integers, state: tuple[Array | None, Array | None] | None, weights: Weights
) -> tuple[Array, State, Saved]:
    """A whole sequence: ``y`` (T, B, H), the last state ``(h, c)``, each (B, H), and what ``backward`` needs.

    ``x`` is (T, B, I), or (T, B) integers for one-hot input. ``state`` is ``(h0, c0)``, None for zeros.
    Raises ``UsageError`` for a shape or type that does not fit.
    """
    check_call("lstm", x, state, weights)
    (T, B), H, dtype = x.shape[:2], weights.Wh.shape[1], weights.Wh.dtype
    h = np.empty((T + 1, B, H), dtype)  # (T+1, B, H)
    c = np.empty((T + 1, B, H), dtype)  # (T+1, B, H)
    gates = np.empty((T, 4, B, H), dtype)  # (T, 4, B, H)
    h[0], c[0] = or_zeros(state, 2, B, H, dtype)
    for t in range(T):
        (h[t + 1], c[t + 1]), *gates[t] = step(x[t], (h[t], c[t]), weights)
    return h[1:].copy(), (h[T].copy(), c[T].copy()), Saved(x, h, c, gates, weights)


def backward(
    saved: Saved, dy: Array | None, dstate: tuple[Array | None, Array | None] | None
) -> tuple[Array | None, State, Weights]:
    """``(dx, (dh0, dc0), dweights)`` from ``dy`` (T, B, H) and ``dstate = (dh, dc)`` of the last state.

    ``dy``, ``dstate`` or a part of it may be None for zeros. ``dx`` is (T, B, I), None for integer input.
    Raises ``UsageError`` for a shape or type that does not fit.
    """
    x, h, c, gates, weights = saved
    Wx, Wh, _, _ = weights
    T, B, H = h[1:].shape
    check_cotangents("lstm", dy, dstate, (T, B, H), h.dtype)
    dh, dc = or_zeros(dstate, 2, B, H, h.dtype)  # each (B, H)
    dz = np.empty((T, B, 4 * H), h.dtype)  # (T, B, 4H)
    for t in reversed(range(T)):
        i, f, g, o = gates[t]
        tanh_c = tanh(c[t + 1])
        if dy is not None:
            dh = dh + dy[t]  # what y_t hands back, on top of what step t+1 did
        do = dh * tanh_c
        dc = dc + dh * o * d_tanh(tanh_c)  # through h_t, on top of the line from c_{t+1}
        dg = dc * i
        di = dc * g
        df = dc * c[t]
        dc = dc * f
        dzo = do * d_sigmoid(o)
        dzg = dg * d_tanh(g)
        dzf = df * d_sigmoid(f)
        dzi = di * d_sigmoid(i)
        dz[t] = np.concatenate([dzi, dzf, dzg, dzo], axis=1)
        dh = dz[t] @ Wh
    dbh = dz.sum((0, 1))  # (4H,)
    dWh = rows(dz).T @ rows(h[:-1])  # (4H, H)
    dbx = dbh.copy()  # (4H,)
    dx, dWx = input_gradients(dz, x, Wx)  # (T, B, I), (4H, I)
    return dx, (dh, dc), Weights(dWx, dWh, dbx, dbh)
