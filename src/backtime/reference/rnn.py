"""Elman RNN (Elman 1990), forward and backward through time. Derivation: docs/rnn.md.

    z_t = Wx x_t + bx + Wh h_{t-1} + bh
    h_t = f(z_t)
    y_t = h_t

``f`` is tanh, relu, sigmoid or identity. Options (docs/options.md): layer norm of both products, with
``gx`` and ``gh``; a mask on what enters Wh; a share of h_{t-1} that stays; resets. With them

    z_t = LN(Wx x_t) gx + bx + LN(Wh (h_mask h_{t-1})) gh + bh
    h~_t = f(z_t)                                       h_new in the code
    h_t = h~_t + keep_h_t (h_{t-1} - h~_t)              keep_h = 1 - a is the leaky unit (1 - a) h + a f(z)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.reference.activations import activation as named
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
    h_new: Array  # (T, B, H)  f(z_t); the state after step t where nothing is kept
    weights: Weights
    activation: str
    options: Recurrence
    sizes: Sizes


def step(
    x: Array | Integers,
    state: State,
    weights: Weights,
    activation: str = "tanh",
    keep_h: Keep = 0.0,
    h_mask: Array | None = None,
) -> tuple[State, Array, Array]:
    """One step of ``x`` (B, I), or (B,) integers: the new state, ``z`` and ``f(z)``, each (B, H).

    Unlike ``forward`` it checks nothing and changes nothing.
    """
    Wx, Wh, bx, bh = weights[:4]
    (h,) = state
    z = product(x, Wx, weights.gx) + bx + product(masked(h, h_mask), Wh, weights.gh) + bh  # (B, H)
    h_new = named(activation).f(z)  # (B, H)
    h = kept(h_new, h, keep_h)  # (B, H)
    return (h,), z, h_new


def forward(
    x: Array | Integers,
    state: tuple[Array | None] | None,
    weights: Weights,
    activation: str = "tanh",
    keep_h: Keep = 0.0,
    h_mask: Array | None = None,
    reset: NDArray[np.bool_] | None = None,
) -> tuple[Array, State, Saved]:
    """A whole sequence: ``y`` (T, B, H), the last state ``(h,)`` with h (B, H), and what ``backward`` needs.

    ``x`` is (T, B, I), or (T, B) integers for one-hot input. ``state`` is ``(h0,)``, None for zeros.
    ``activation`` is tanh, relu, sigmoid or identity; ``keep_h`` a number or (T, B, H), ``h_mask`` (B, H),
    ``reset`` (T, B). Raises ``UsageError`` for a shape, type or value that does not fit.
    """
    given = {"activation": activation, "keep_h": keep_h, "h_mask": h_mask, "reset": reset}
    sizes = check_call("rnn", x, state, weights, given)
    options = Recurrence(keep_h, h_mask=h_mask, reset=reset)
    before, h_new, y = (np.empty(sizes.y, sizes.dtype) for _ in range(3))  # each (T, B, H)
    (h,) = or_zeros(state, sizes.B, (sizes.H,), sizes.dtype)
    for t in range(len(x)):
        before[t] = options.enter(t, h)
        (h,), _, h_new[t] = step(x[t], (before[t],), weights, activation, at(keep_h, t), h_mask)
        y[t] = h
    return y, (h,), Saved(x, before, h_new, weights, activation, options, sizes)


def backward(
    saved: Saved, dy: Array | None, dstate: tuple[Array | None] | None
) -> tuple[Array | None, State, Weights]:
    """``(dx, (dh0,), dweights)`` from ``dy`` (T, B, H) and ``dstate = (dh,)`` of the last state.

    ``dy`` and ``dstate`` may be None for zeros. ``dx`` is (T, B, I), None for integer input.
    Raises ``UsageError`` for a shape or type that does not fit.
    """
    x, before, h_new, weights, activation, options, sizes = saved
    Wx, Wh, gx, gh = weights.Wx, weights.Wh, weights.gx, weights.gh
    check_cotangents("rnn", dy, dstate, sizes)
    (dh,) = or_zeros(dstate, sizes.B, (sizes.H,), sizes.dtype)  # (B, H)
    hm = masked(before, options.h_mask)  # (T, B, H)  what Wh met
    dz = np.empty(sizes.y, sizes.dtype)  # (T, B, H)
    da = np.empty(sizes.y, sizes.dtype)  # (T, B, H)  at the product with Wh, before its layer norm
    for t in reversed(range(len(x))):
        if dy is not None:
            dh = dh + dy[t]  # what y_t hands back, on top of what step t+1 did
        dh_new, dh = kept_backward(dh, at(options.keep_h, t))
        dz[t] = dh_new * named(activation).df(h_new[t])
        da[t] = product_backward(dz[t], hm[t], Wh, gh)
        dh = dh + masked(da[t] @ Wh, options.h_mask)
        dh = options.enter(t, dh)
    dbh = dz.sum((0, 1))  # (H,)
    dgh = product_gain(dz, hm, Wh, gh)  # (H,)
    dWh = rows(da).T @ rows(hm)  # (H, H)
    dbx = dbh.copy()  # (H,)
    dgx = product_gain(dz, x, Wx, gx)  # (H,)
    dx, dWx = input_gradients(product_backward(dz, x, Wx, gx), x, Wx)  # (T, B, I), (H, I)
    return dx, (dh,), Weights(dWx, dWh, dbx, dbh, gx=dgx, gh=dgh)
