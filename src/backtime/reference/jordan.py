"""Jordan network (Jordan 1986): what recurs is the output. Derivation: docs/jordan.md.

    z_t = Wx x_t + bx + Wh y_{t-1} + bh
    h_t = f(z_t)
    v_t = Wy h_t + by
    y_t = g(v_t)

``f`` and ``g`` are tanh, relu, sigmoid or identity. The state is ``y_{t-1}``. Options (docs/options.md):
layer norm with ``gx`` and ``gh``, a mask on what enters Wh, resets.

``forced`` puts the targets in place of ``y_{t-1}`` (teacher forcing): no step waits for another.
"""

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from backtime.reference.activations import activation as named
from backtime.reference.checks import check_call, check_cotangents
from backtime.reference.checks.arrays import check_array, check_dtype, check_shape
from backtime.reference.checks.calls import Sizes
from backtime.reference.options import Recurrence, masked
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

State = tuple[Array]  # (y,), y is (B, P)


class Saved(NamedTuple):
    """What ``backward`` needs: the arrays of the call themselves, so leave them as they are until then."""

    x: Array | Integers  # (T, B, I) or (T, B)
    before: Array  # (T, B, P)  y_{t-1} as step t finds it
    h: Array  # (T, B, H)
    y: Array  # (T, B, P)
    weights: Weights
    activation: str
    output_activation: str
    options: Recurrence
    sizes: Sizes


def step(
    x: Array | Integers,
    state: State,
    weights: Weights,
    activation: str = "tanh",
    output_activation: str = "identity",
    h_mask: Array | None = None,
) -> tuple[State, Array]:
    """One step of ``x`` (B, I), or (B,) integers: the new state ``(y,)`` (B, P), and ``h`` (B, H).

    Unlike ``forward`` it checks nothing and changes nothing.
    """
    Wx, Wh, bx, bh = weights[:4]
    Wy, by = _output_product(weights)
    (y,) = state
    z = product(x, Wx, weights.gx) + bx + product(masked(y, h_mask), Wh, weights.gh) + bh  # (B, H)
    h = named(activation).f(z)  # (B, H)
    v = h @ Wy.T + by  # (B, P)
    y = named(output_activation).f(v)  # (B, P)
    return (y,), h


def _output_product(weights: Weights) -> tuple[Array, Array]:
    return cast(Array, weights.Wy), cast(Array, weights.by)  # the checks saw to it that they are there


def forward(
    x: Array | Integers,
    state: tuple[Array | None] | None,
    weights: Weights,
    activation: str = "tanh",
    output_activation: str = "identity",
    h_mask: Array | None = None,
    reset: NDArray[np.bool_] | None = None,
) -> tuple[Array, State, Saved]:
    """A whole sequence: ``y`` (T, B, P), the last state ``(y,)`` with y (B, P), and what ``backward`` needs.

    ``x`` is (T, B, I), or (T, B) integers for one-hot input. ``state`` is ``(y0,)``, None for zeros.
    ``h_mask`` is (B, P), ``reset`` (T, B).
    Raises ``UsageError`` for a shape, type or value that does not fit.
    """
    functions = {"activation": activation, "output_activation": output_activation}
    sizes = check_call("jordan", x, state, weights, {**functions, "h_mask": h_mask, "reset": reset})
    options = Recurrence(h_mask=h_mask, reset=reset)
    (T, B, P), H, dtype = sizes.y, sizes.H, sizes.dtype
    before, y = (np.empty((T, B, P), dtype) for _ in range(2))  # (T, B, P)
    h = np.empty((T, B, H), dtype)  # (T, B, H)
    (last,) = or_zeros(state, B, (P,), dtype)
    for t in range(T):
        before[t] = options.enter(t, last)
        (last,), h[t] = step(x[t], (before[t],), weights, activation, output_activation, h_mask)
        y[t] = last
    saved = Saved(x, before, h, y, weights, activation, output_activation, options, sizes)
    return y.copy(), (last,), saved


def forced(
    x: Array | Integers,
    targets_before: Array,
    weights: Weights,
    activation: str = "tanh",
    output_activation: str = "identity",
    h_mask: Array | None = None,
) -> tuple[Array, Saved]:
    """Every step at once from ``targets_before`` (T, B, P), step t's in place of y_{t-1}: ``y`` (T, B, P).

    What ``backward`` needs comes second; ``forced_backward`` takes it.
    Raises ``UsageError`` for a shape, type or value that does not fit.
    """
    functions = {"activation": activation, "output_activation": output_activation}
    sizes = check_call("jordan", x, None, weights, {**functions, "h_mask": h_mask})
    check_array("targets_before", targets_before)
    check_shape("targets_before", targets_before, "(T, B, P)", sizes.y)
    check_dtype("targets_before", targets_before, sizes.dtype, " as the weights are")
    met = rows(masked(targets_before, h_mask))  # (R, P)
    flat = x.reshape(len(met), *x.shape[2:])  # (R, I) or (R,)
    (y,), h = step(flat, (met,), weights, activation, output_activation)
    y, h = y.reshape(sizes.y), h.reshape(*sizes.y[:2], sizes.H)
    options = Recurrence(h_mask=h_mask)
    return y.copy(), Saved(x, targets_before, h, y, weights, activation, output_activation, options, sizes)


def forced_backward(saved: Saved, dy: Array | None) -> tuple[Array | None, Array, Weights]:
    """``(dx, dtargets_before, dweights)`` from ``dy`` (T, B, P): one product for all steps."""
    check_cotangents("jordan", dy, None, saved.sizes)
    dy = np.zeros_like(saved.y) if dy is None else dy
    dbefore, dv, dz, da = _step_backward(dy, slice(None), saved)
    dx, dweights = _weight_gradients(saved, dv, dz, da)
    return dx, dbefore, dweights


def backward(
    saved: Saved, dy: Array | None, dstate: tuple[Array | None] | None
) -> tuple[Array | None, State, Weights]:
    """``(dx, (dy0,), dweights)`` from ``dy`` (T, B, P) and ``dstate = (dy,)`` of the last state.

    ``dy`` and ``dstate`` may be None for zeros. ``dx`` is (T, B, I), None for integer input.
    Raises ``UsageError`` for a shape or type that does not fit.
    """
    sizes = saved.sizes
    (T, B, P), H, dtype = sizes.y, sizes.H, sizes.dtype
    check_cotangents("jordan", dy, dstate, sizes)
    (dlast,) = or_zeros(dstate, B, (P,), dtype)  # (B, P)
    dv = np.empty((T, B, P), dtype)  # (T, B, P)
    dz, da = (np.empty((T, B, H), dtype) for _ in range(2))  # (T, B, H)  da: before the norm of Wh y
    for t in reversed(range(T)):
        if dy is not None:
            dlast = dlast + dy[t]  # what y_t hands back as an output, on top of what step t+1 did
        dlast, dv[t], dz[t], da[t] = _step_backward(dlast, t, saved)
        dlast = saved.options.enter(t, dlast)
    dx, dweights = _weight_gradients(saved, dv, dz, da)
    return dx, (dlast,), dweights


def _step_backward(dy: Array, t: int | slice, saved: Saved) -> tuple[Array, Array, Array, Array]:
    """``step`` in reverse, for step ``t`` or all of them: from dy_t to dy_{t-1}, and dv, dz, da."""
    weights, h_mask = saved.weights, saved.options.h_mask
    Wh, gh = weights.Wh, weights.gh
    Wy, _ = _output_product(weights)
    dv = dy * named(saved.output_activation).df(saved.y[t])
    dh = dv @ Wy
    dz = dh * named(saved.activation).df(saved.h[t])
    da = product_backward(dz, masked(saved.before[t], h_mask), Wh, gh)
    dy = masked(da @ Wh, h_mask)
    return dy, dv, dz, da


def _weight_gradients(saved: Saved, dv: Array, dz: Array, da: Array) -> tuple[Array | None, Weights]:
    """``(dx, dweights)``: sums over every step and sequence."""
    x, (Wx, Wh), gx, gh = saved.x, saved.weights[:2], saved.weights.gx, saved.weights.gh
    met = masked(saved.before, saved.options.h_mask)  # (T, B, P)  what Wh met
    dby = dv.sum((0, 1))  # (P,)
    dWy = rows(dv).T @ rows(saved.h)  # (P, H)
    dbh = dz.sum((0, 1))  # (H,)
    dgh = product_gain(dz, met, Wh, gh)  # (H,)
    dWh = rows(da).T @ rows(met)  # (H, P)
    dbx = dbh.copy()  # (H,)
    dgx = product_gain(dz, x, Wx, gx)  # (H,)
    dx, dWx = input_gradients(product_backward(dz, x, Wx, gx), x, Wx)  # (T, B, I), (H, I)
    return dx, Weights(dWx, dWh, dbx, dbh, dWy, dby, gx=dgx, gh=dgh)
