"""GRU (Cho et al. 2014), in the form of PyTorch and cuDNN and in its first form. Derivation: docs/gru.md.

    r_t = sigmoid(Wx_r x_t + bx_r + Wh_r h_{t-1} + bh_r)             reset gate
    z_t = sigmoid(Wx_z x_t + bx_z + Wh_z h_{t-1} + bh_z)             update gate
    n_t = tanh(Wx_n x_t + bx_n + r_t (Wh_n h_{t-1} + bh_n))          candidate, reset_after=True
    n_t = tanh(Wx_n x_t + bx_n + Wh_n (r_t h_{t-1}) + bh_n)          candidate, reset_after=False
    h_t = (1 - z_t) n_t + z_t h_{t-1}
    y_t = h_t

``z`` followed by a gate's letter is that gate's pre-activation; ``zx`` is the part of it from the input,
``zh`` the part from the hidden state. ``m`` is what stands between the hidden state and the candidate:
``Wh_n h + bh_n``, which r scales, when the reset comes after the product; ``r h``, which Wh_n multiplies,
when it comes before.
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

State = tuple[Array]  # (h,), h is (B, H)


class Saved(NamedTuple):
    """What ``backward`` needs: the arrays of the call themselves, so leave them as they are until then."""

    x: Array | Integers  # (T, B, I) or (T, B)
    h: Array  # (T+1, B, H); h[0] is the initial state, h[t+1] the state after step t
    gates: Array  # (T, 4, B, H): r z n m
    weights: Weights
    reset_after: bool


def step(
    x: Array | Integers, state: State, weights: Weights, reset_after: bool = True
) -> tuple[State, Array, Array, Array, Array]:
    """One step of ``x`` (B, I), or (B,) integers: the new state and r, z, n, m, each (B, H).

    Unlike ``forward`` it checks nothing and changes nothing.
    """
    Wx, Wh, bx, bh = weights
    (h,) = state
    H = h.shape[1]
    zx = input_product(x, Wx) + bx  # (B, 3H)
    zh = h @ Wh[: 2 * H].T + bh[: 2 * H]  # (B, 2H)
    r = sigmoid(zx[:, :H] + zh[:, :H])
    z = sigmoid(zx[:, H : 2 * H] + zh[:, H:])
    if reset_after:
        m = h @ Wh[2 * H :].T + bh[2 * H :]
        n = tanh(zx[:, 2 * H :] + r * m)
    else:
        m = r * h
        n = tanh(zx[:, 2 * H :] + m @ Wh[2 * H :].T + bh[2 * H :])
    h = (1 - z) * n + z * h
    return (h,), r, z, n, m


def forward(
    x: Array | Integers, state: tuple[Array | None] | None, weights: Weights, reset_after: bool = True
) -> tuple[Array, State, Saved]:
    """A whole sequence: ``y`` (T, B, H), the last state ``(h,)`` with h (B, H), and what ``backward`` needs.

    ``x`` is (T, B, I), or (T, B) integers for one-hot input. ``state`` is ``(h0,)``, None for zeros.
    Raises ``UsageError`` for a shape or type that does not fit.
    """
    check_call("gru", x, state, weights)
    (T, B), H, dtype = x.shape[:2], weights.Wh.shape[1], weights.Wh.dtype
    h = np.empty((T + 1, B, H), dtype)  # (T+1, B, H)
    gates = np.empty((T, 4, B, H), dtype)  # (T, 4, B, H)
    (h[0],) = or_zeros(state, 1, B, H, dtype)
    for t in range(T):
        (h[t + 1],), *gates[t] = step(x[t], (h[t],), weights, reset_after)
    return h[1:].copy(), (h[T].copy(),), Saved(x, h, gates, weights, reset_after)


def backward(
    saved: Saved, dy: Array | None, dstate: tuple[Array | None] | None
) -> tuple[Array | None, State, Weights]:
    """``(dx, (dh0,), dweights)`` from ``dy`` (T, B, H) and ``dstate = (dh,)`` of the last state.

    ``dy`` and ``dstate`` may be None for zeros. ``dx`` is (T, B, I), None for integer input.
    Raises ``UsageError`` for a shape or type that does not fit.
    """
    x, h, gates, weights, _ = saved
    T, B, H = h[1:].shape
    check_cotangents("gru", dy, dstate, (T, B, H), h.dtype)
    (dh,) = or_zeros(dstate, 1, B, H, h.dtype)  # (B, H)
    dzx = np.empty((T, B, 3 * H), h.dtype)  # (T, B, 3H)  on the input's side of the pre-activations
    dzh = np.empty((T, B, 3 * H), h.dtype)  # (T, B, 3H)  on the hidden state's side
    for t in reversed(range(T)):
        if dy is not None:
            dh = dh + dy[t]  # what y_t hands back, on top of what step t+1 did
        dh, dzx[t], dzh[t] = _step_backward(dh, h[t], gates[t], weights.Wh, saved.reset_after)
    dbh = dzh.sum((0, 1))  # (3H,)
    dWh = rows(dzh).T @ rows(h[:-1])  # (3H, H)
    if not saved.reset_after:
        dWh[2 * H :] = rows(dzh[:, :, 2 * H :]).T @ rows(gates[:, 3])  # Wh_n met m = r h, not h
    dbx = dzx.sum((0, 1))  # (3H,)
    dx, dWx = input_gradients(dzx, x, weights.Wx)  # (T, B, I), (3H, I)
    return dx, (dh,), Weights(dWx, dWh, dbx, dbh)


def _step_backward(
    dh: Array, h: Array, gates: Array, Wh: Array, reset_after: bool
) -> tuple[Array, Array, Array]:
    """``step`` in reverse, ``h`` being h_{t-1}: from dh_t to dh_{t-1}, both (B, H), and dzx, dzh, (B, 3H)."""
    r, z, n, m = gates
    H = h.shape[1]
    dn = dh * (1 - z)
    dz = dh * (h - n)
    dh = dh * z  # the straight line from h_t to h_{t-1}
    dzn = dn * d_tanh(n)
    if reset_after:
        dm = dzn * r
        dr = dzn * m
        dzh_n = dm
        dh = dh + dm @ Wh[2 * H :]
    else:
        dm = dzn @ Wh[2 * H :]
        dr = dm * h
        dzh_n = dzn
        dh = dh + dm * r
    dzz = dz * d_sigmoid(z)
    dzr = dr * d_sigmoid(r)
    dzx = np.concatenate([dzr, dzz, dzn], axis=1)
    dzh = np.concatenate([dzr, dzz, dzh_n], axis=1)
    dh = dh + dzh[:, : 2 * H] @ Wh[: 2 * H]
    return dh, dzx, dzh
