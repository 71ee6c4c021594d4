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

Options (docs/options.md): layer norm with ``gx`` and ``gh``, of ``Wx x`` and ``Wh h`` before the biases, each
over its whole row of 3H (reset_after=True only); ``h_mask`` h_{t-1} in place of h_{t-1} in every product with
Wh, not in ``z_t h_{t-1}``; a share ``keep_h`` of h_{t-1} that stays; resets.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.reference.activations import d_sigmoid, d_tanh, sigmoid, tanh
from backtime.reference.checks import check_call, check_cotangents
from backtime.reference.checks.calls import Sizes
from backtime.reference.options import Keep, Recurrence, at, kept, kept_backward, masked
from backtime.reference.weights import (
    Array,
    Integers,
    Weights,
    input_gradients,
    or_zeros,
    product,
    product_backward,
    product_gain,
    rows,
)

State = tuple[Array]  # (h,), h is (B, H)


class Saved(NamedTuple):
    """What ``backward`` needs: the arrays of the call themselves, so leave them as they are until then."""

    x: Array | Integers  # (T, B, I) or (T, B)
    before: Array  # (T, B, H)  h_{t-1} as step t finds it
    gates: Array  # (T, 4, B, H): r z n m
    weights: Weights
    reset_after: bool
    options: Recurrence
    sizes: Sizes


def step(
    x: Array | Integers,
    state: State,
    weights: Weights,
    reset_after: bool = True,
    keep_h: Keep = 0.0,
    h_mask: Array | None = None,
) -> tuple[State, Array, Array, Array, Array]:
    """One step of ``x`` (B, I), or (B,) integers: the new state and r, z, n, m, each (B, H).

    Unlike ``forward`` it checks nothing and changes nothing.
    """
    Wx, Wh, bx, bh = weights[:4]
    (h,) = state
    H = h.shape[1]
    hm = masked(h, h_mask)  # (B, H)
    zx = product(x, Wx, weights.gx) + bx  # (B, 3H)
    zh = product(hm, Wh, weights.gh) + bh  # (B, 3H)
    r = sigmoid(zx[:, :H] + zh[:, :H])
    z = sigmoid(zx[:, H : 2 * H] + zh[:, H : 2 * H])
    if reset_after:
        m = zh[:, 2 * H :]
        n = tanh(zx[:, 2 * H :] + r * m)
    else:
        m = r * hm
        n = tanh(zx[:, 2 * H :] + m @ Wh[2 * H :].T + bh[2 * H :])
    h = kept((1 - z) * n + z * h, h, keep_h)
    return (h,), r, z, n, m


def forward(
    x: Array | Integers,
    state: tuple[Array | None] | None,
    weights: Weights,
    reset_after: bool = True,
    keep_h: Keep = 0.0,
    h_mask: Array | None = None,
    reset: NDArray[np.bool_] | None = None,
) -> tuple[Array, State, Saved]:
    """A whole sequence: ``y`` (T, B, H), the last state ``(h,)`` with h (B, H), and what ``backward`` needs.

    ``x`` is (T, B, I), or (T, B) integers for one-hot input. ``state`` is ``(h0,)``, None for zeros.
    ``keep_h`` is a number or (T, B, H), ``h_mask`` (B, H), ``reset`` (T, B).
    Raises ``UsageError`` for a shape, type or value that does not fit.
    """
    given = {"reset_after": reset_after, "keep_h": keep_h, "h_mask": h_mask, "reset": reset}
    sizes = check_call("gru", x, state, weights, given)
    options = Recurrence(keep_h, h_mask=h_mask, reset=reset)
    (T, B), H, dtype = x.shape[:2], sizes.H, sizes.dtype
    before, y = (np.empty((T, B, H), dtype) for _ in range(2))  # (T, B, H)
    gates = np.empty((T, 4, B, H), dtype)  # (T, 4, B, H)
    (h,) = or_zeros(state, B, (H,), dtype)
    for t in range(T):
        before[t] = options.enter(t, h)
        (h,), *gates[t] = step(x[t], (before[t],), weights, reset_after, at(keep_h, t), h_mask)
        y[t] = h
    return y, (h,), Saved(x, before, gates, weights, reset_after, options, sizes)


def backward(
    saved: Saved, dy: Array | None, dstate: tuple[Array | None] | None
) -> tuple[Array | None, State, Weights]:
    """``(dx, (dh0,), dweights)`` from ``dy`` (T, B, H) and ``dstate = (dh,)`` of the last state.

    ``dy`` and ``dstate`` may be None for zeros. ``dx`` is (T, B, I), None for integer input.
    Raises ``UsageError`` for a shape or type that does not fit.
    """
    options, sizes = saved.options, saved.sizes
    T, B, H = sizes.y
    check_cotangents("gru", dy, dstate, sizes)
    (dh,) = or_zeros(dstate, B, (H,), sizes.dtype)  # (B, H)
    dzx = np.empty((T, B, 3 * H), sizes.dtype)  # (T, B, 3H)  on the input's side of the pre-activations
    dzh = np.empty((T, B, 3 * H), sizes.dtype)  # (T, B, 3H)  on the hidden state's side
    da = np.empty((T, B, 3 * H), sizes.dtype)  # (T, B, 3H)  at the product with Wh, before its layer norm
    for t in reversed(range(T)):
        if dy is not None:
            dh = dh + dy[t]  # what y_t hands back, on top of what step t+1 did
        dh_new, dh = kept_backward(dh, at(options.keep_h, t))
        dh_direct, dzx[t], dzh[t], da[t] = _step_backward(dh_new, t, saved)
        dh = options.enter(t, dh + dh_direct)
    return _weight_gradients(saved, dzx, dzh, da, (dh,))


def _step_backward(dh: Array, t: int, saved: Saved) -> tuple[Array, Array, Array, Array]:
    """``step`` in reverse: from dh_t to dh_{t-1}, both (B, H), and dzx, dzh, da, each (B, 3H)."""
    h, h_mask, weights = saved.before[t], saved.options.h_mask, saved.weights
    Wh, H = weights.Wh, h.shape[1]
    r, z, n, m = saved.gates[t]
    hm = masked(h, h_mask)
    dn = dh * (1 - z)
    dz = dh * (h - n)
    dh = dh * z  # the straight line from h_t to h_{t-1}
    dzn = dn * d_tanh(n)
    if saved.reset_after:
        dm = dzn * r
        dr = dzn * m
        dzh_n = dm
    else:
        dm = dzn @ Wh[2 * H :]
        dr = dm * hm
        dzh_n = dzn
    dzz = dz * d_sigmoid(z)
    dzr = dr * d_sigmoid(r)
    dzx = np.concatenate([dzr, dzz, dzn], axis=1)
    dzh = np.concatenate([dzr, dzz, dzh_n], axis=1)
    da = product_backward(dzh, hm, Wh, weights.gh)
    dhm = da @ Wh if saved.reset_after else da[:, : 2 * H] @ Wh[: 2 * H] + dm * r
    return dh + masked(dhm, h_mask), dzx, dzh, da


def _weight_gradients(
    saved: Saved, dzx: Array, dzh: Array, da: Array, dstate: State
) -> tuple[Array | None, State, Weights]:
    """What ``backward`` returns: sums over every step and sequence, after the loop."""
    x, (Wx, Wh), gx, gh = saved.x, saved.weights[:2], saved.weights.gx, saved.weights.gh
    H = saved.sizes.H
    hm = masked(saved.before, saved.options.h_mask)  # (T, B, H)  what Wh met
    dbh = dzh.sum((0, 1))  # (3H,)
    dgh = product_gain(dzh, hm, Wh, gh)  # (3H,)
    dWh = rows(da).T @ rows(hm)  # (3H, H)
    if not saved.reset_after:
        dWh[2 * H :] = rows(da[:, :, 2 * H :]).T @ rows(saved.gates[:, 3])  # Wh_n met m = r h, not h
    dbx = dzx.sum((0, 1))  # (3H,)
    dgx = product_gain(dzx, x, Wx, gx)  # (3H,)
    dx, dWx = input_gradients(product_backward(dzx, x, Wx, gx), x, Wx)  # (T, B, I), (3H, I)
    return dx, dstate, Weights(dWx, dWh, dbx, dbh, gx=dgx, gh=dgh)
