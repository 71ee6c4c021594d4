"""LSTM (Hochreiter and Schmidhuber 1997, forget gate of Gers et al. 2000). Derivation: docs/lstm.md.

    i_t = sigmoid(Wx_i x_t + bx_i + Wh_i h_{t-1} + bh_i)      input gate
    f_t = sigmoid(Wx_f x_t + bx_f + Wh_f h_{t-1} + bh_f)      forget gate
    g_t = tanh   (Wx_g x_t + bx_g + Wh_g h_{t-1} + bh_g)      candidate
    o_t = sigmoid(Wx_o x_t + bx_o + Wh_o h_{t-1} + bh_o)      output gate
    c_t = f_t c_{t-1} + i_t g_t
    h_t = o_t tanh(c_t)
    y_t = h_t

``z`` followed by a gate's letter is that gate's pre-activation. With the options of docs/options.md

    z_t  = LN(Wx x_t) gx + bx + LN(Wh (h_mask h_{t-1})) gh + bh
    zi_t += p_i c_{t-1},  zf_t += p_f c_{t-1},  zo_t += p_o c~_t      peepholes
    f_t  = 1 - i_t                                                    coupled
    c~_t = f_t c_{t-1} + i_t g_t                                      c_new in the code
    s_t  = LN(c~_t) gc + bc                                           s_t = c~_t without layer norm
    h~_t = Wy (o_t tanh(s_t))                                         h_new; Wy is the projection
    c_t  = c~_t + keep_c_t (c_{t-1} - c~_t)
    h_t  = h~_t + keep_h_t (h_{t-1} - h~_t)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.reference.activations import d_sigmoid, d_tanh, sigmoid, tanh
from backtime.reference.checks import check_call, check_cotangents
from backtime.reference.checks.calls import Sizes
from backtime.reference.norm import gain_gradient, standard, standard_backward
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

State = tuple[Array, Array]  # (h, c): h (B, P), c (B, H); P is H without a projection


class Saved(NamedTuple):
    """What ``backward`` needs: the arrays of the call themselves, so leave them as they are until then."""

    x: Array | Integers  # (T, B, I) or (T, B)
    before: Array  # (T, B, P)  h_{t-1} as step t finds it
    c_before: Array  # (T, B, H)  c_{t-1} as step t finds it
    c_new: Array  # (T, B, H)  the cell that h_t shows; the cell after step t where nothing is kept
    gates: Array  # (T, 4, B, H): i f g o
    weights: Weights
    coupled: bool
    options: Recurrence
    sizes: Sizes


def step(
    x: Array | Integers,
    state: State,
    weights: Weights,
    coupled: bool = False,
    keep_h: Keep = 0.0,
    keep_c: Keep = 0.0,
    h_mask: Array | None = None,
) -> tuple[State, Array, Array, Array, Array, Array]:
    """One step of ``x`` (B, I), or (B,) integers: the new state, the gates i, f, g, o and c_new, each (B, H).

    Unlike ``forward`` it checks nothing and changes nothing.
    """
    Wx, Wh, bx, bh = weights[:4]
    Wy, p = weights.Wy, weights.p
    h, c = state
    z = product(x, Wx, weights.gx) + bx + product(masked(h, h_mask), Wh, weights.gh) + bh  # (B, 4H)
    zi, zf, zg, zo = np.split(z, 4, axis=1)  # each (B, H)
    i = sigmoid(zi if p is None else zi + p[0] * c)
    f = 1 - i if coupled else sigmoid(zf if p is None else zf + p[1] * c)
    g = tanh(zg)
    c_new = f * c + i * g
    o = sigmoid(zo if p is None else zo + p[2] * c_new)
    v = o * tanh(_shown(c_new, weights))  # (B, H)
    h_new = v if Wy is None else v @ Wy.T  # (B, P)
    return (kept(h_new, h, keep_h), kept(c_new, c, keep_c)), i, f, g, o, c_new


def _shown(c: Array, weights: Weights) -> Array:
    """``s``, the cell as the output gate shows it: ``LN(c) gc + bc``, or ``c`` itself."""
    if weights.gc is None or weights.bc is None:
        return c
    return standard(c) * weights.gc + weights.bc


def forward(
    x: Array | Integers,
    state: tuple[Array | None, Array | None] | None,
    weights: Weights,
    coupled: bool = False,
    keep_h: Keep = 0.0,
    keep_c: Keep = 0.0,
    h_mask: Array | None = None,
    reset: NDArray[np.bool_] | None = None,
) -> tuple[Array, State, Saved]:
    """A whole sequence: ``y`` (T, B, P), the last state ``(h, c)``, and what ``backward`` needs.

    ``x`` is (T, B, I), or (T, B) integers for one-hot input. ``state`` is ``(h0, c0)``, None for zeros.
    ``keep_h`` is a number or (T, B, P), ``keep_c`` a number or (T, B, H), ``h_mask`` (B, P), ``reset``
    (T, B). Raises ``UsageError`` for a shape, type or value that does not fit.
    """
    given = {"coupled": coupled, "keep_h": keep_h, "keep_c": keep_c, "h_mask": h_mask, "reset": reset}
    sizes = check_call("lstm", x, state, weights, given)
    options = Recurrence(keep_h, keep_c, h_mask, reset)
    (T, B, P), H, dtype = sizes.y, sizes.H, sizes.dtype
    before, y = (np.empty((T, B, P), dtype) for _ in range(2))  # (T, B, P)
    c_before, c_new = (np.empty((T, B, H), dtype) for _ in range(2))  # (T, B, H)
    gates = np.empty((T, 4, B, H), dtype)  # (T, 4, B, H)
    h, c = or_zeros(state, B, (P, H), dtype)
    for t in range(T):
        before[t], c_before[t] = options.enter(t, h), options.enter(t, c)
        start, keep = (before[t], c_before[t]), (at(keep_h, t), at(keep_c, t))
        (h, c), *gates[t], c_new[t] = step(x[t], start, weights, coupled, *keep, h_mask)
        y[t] = h
    return y, (h, c), Saved(x, before, c_before, c_new, gates, weights, coupled, options, sizes)


def backward(
    saved: Saved, dy: Array | None, dstate: tuple[Array | None, Array | None] | None
) -> tuple[Array | None, State, Weights]:
    """``(dx, (dh0, dc0), dweights)`` from ``dy`` (T, B, P) and ``dstate = (dh, dc)`` of the last state.

    ``dy``, ``dstate`` or a part of it may be None for zeros. ``dx`` is (T, B, I), None for integer input.
    Raises ``UsageError`` for a shape or type that does not fit.
    """
    options, sizes, Wh = saved.options, saved.sizes, saved.weights.Wh
    (T, B, P), H, dtype = sizes.y, sizes.H, sizes.dtype
    check_cotangents("lstm", dy, dstate, sizes)
    dh, dc = or_zeros(dstate, B, (P, H), dtype)  # (B, P), (B, H)
    hm = masked(saved.before, options.h_mask)  # (T, B, P)  what Wh met
    dh_new = np.empty((T, B, P), dtype)  # (T, B, P)  at h_new
    ds = np.empty((T, B, H), dtype)  # (T, B, H)  at the cell as it is shown
    dz, da = (np.empty((T, B, 4 * H), dtype) for _ in range(2))  # (T, B, 4H)  da: before the norm of Wh h
    for t in reversed(range(T)):
        if dy is not None:
            dh = dh + dy[t]  # what y_t hands back, on top of what step t+1 did
        dh_new[t], dh = kept_backward(dh, at(options.keep_h, t))
        dc_new, dc = kept_backward(dc, at(options.keep_c, t))
        dc_line, ds[t], dz[t] = _step_backward(dh_new[t], dc_new, t, saved)
        dc = dc + dc_line
        da[t] = product_backward(dz[t], hm[t], Wh, saved.weights.gh)
        dh = dh + masked(da[t] @ Wh, options.h_mask)
        dh, dc = options.enter(t, dh), options.enter(t, dc)
    return _weight_gradients(saved, hm, dh_new, ds, dz, da, (dh, dc))


def _step_backward(dh: Array, dc: Array, t: int, saved: Saved) -> tuple[Array, Array, Array]:
    """From dh at h_new (B, P) and dc at c_new (B, H) to dc at c_{t-1}, ds (B, H) and dz (B, 4H)."""
    c, c_new, weights = saved.c_before[t], saved.c_new[t], saved.weights
    Wy, p, gc = weights.Wy, weights.p, weights.gc
    i, f, g, o = saved.gates[t]
    tanh_s = tanh(_shown(c_new, weights))
    dv = dh if Wy is None else dh @ Wy
    do = dv * tanh_s
    ds = dv * o * d_tanh(tanh_s)
    dc = dc + (
        ds if gc is None else standard_backward(ds * gc, c_new)
    )  # through h_t, on top of c_{t+1}'s line
    dzo = do * d_sigmoid(o)
    if p is not None:
        dc = dc + dzo * p[2]
    dg = dc * i
    di = dc * g
    df = dc * c
    if saved.coupled:  # f = 1 - i
        di, df = di - df, np.zeros_like(df)
    dc = dc * f
    dzg = dg * d_tanh(g)
    dzf = df * d_sigmoid(f)
    dzi = di * d_sigmoid(i)
    if p is not None:
        dc = dc + dzi * p[0] + dzf * p[1]
    return dc, ds, np.concatenate([dzi, dzf, dzg, dzo], axis=1)


def _weight_gradients(
    saved: Saved, hm: Array, dh_new: Array, ds: Array, dz: Array, da: Array, dstate: State
) -> tuple[Array | None, State, Weights]:
    """What ``backward`` returns: sums over every step and sequence, after the loop."""
    x, weights = saved.x, saved.weights
    Wx, Wh, gx, gh = weights.Wx, weights.Wh, weights.gx, weights.gh
    dbh = dz.sum((0, 1))  # (4H,)
    dgh = product_gain(dz, hm, Wh, gh)  # (4H,)
    dWh = rows(da).T @ rows(hm)  # (4H, P)
    dbx = dbh.copy()  # (4H,)
    dgx = product_gain(dz, x, Wx, gx)  # (4H,)
    dx, dWx = input_gradients(product_backward(dz, x, Wx, gx), x, Wx)  # (T, B, I), (4H, I)
    dWy = dp = dgc = dbc = None
    if weights.Wy is not None:
        v = saved.gates[:, 3] * tanh(_shown(saved.c_new, weights))  # (T, B, H)
        dWy = rows(dh_new).T @ rows(v)  # (P, H)
    if weights.p is not None:
        dzi, dzf, _, dzo = np.split(dz, 4, axis=2)
        met = (dzi * saved.c_before, dzf * saved.c_before, dzo * saved.c_new)
        dp = np.stack([a.sum((0, 1)) for a in met])  # (3, H)
    if weights.gc is not None:
        dgc = gain_gradient(ds, saved.c_new)  # (H,)
        dbc = ds.sum((0, 1))  # (H,)
    return dx, dstate, Weights(dWx, dWh, dbx, dbh, dWy, None, dp, dgx, dgh, dgc, dbc)
