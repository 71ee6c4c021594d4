"""Output units with their losses: ``z = h Wy^T + by``, the loss of every row, the gradient. docs/losses.md.

Each unit is paired with the loss whose gradient at the pre-activation is the error itself: ``dz = y - t``.
``E = sum_r weights[r] losses[r]`` is what the gradients are of; ``weights=None`` is the mean, 1/R each.
"""

from typing import NamedTuple

import numpy as np

from backtime.reference.activations import sigmoid
from backtime.reference.checks import check_head
from backtime.reference.weights import Array, Integers


class OutputGradients(NamedTuple):
    """Gradients of the weighted sum of the losses."""

    dh: Array  # (R, H)
    dWy: Array  # (V, H)  # noqa: N815 - the alphabet's name
    dby: Array  # (V,)


def softmax_cross_entropy(
    h: Array,
    Wy: Array,
    by: Array,
    targets: Integers,
    weights: Array | None = None,
    gradient: bool = True,
) -> tuple[Array, OutputGradients | None]:
    """One of V classes: ``y = softmax(z)``, loss ``-log y[target]`` in nats; ``targets`` (R,) in 0..V-1.

    ``h`` is (R, H), ``Wy`` (V, H), ``by`` (V,), ``weights`` (R,). Returns the losses (R,) and, with
    ``gradient``, the gradients, else None.
    Raises ``UsageError`` for a shape, type or target that does not fit.
    """
    check_head(h, Wy, by, targets, weights)
    R = np.arange(len(h))
    z = h @ Wy.T + by  # (R, V)
    z = z - z.max(axis=1, keepdims=True)  # softmax does not see a shift, and e^z cannot overflow
    e = np.exp(z)
    total = e.sum(axis=1)  # (R,)
    losses: Array = np.log(total) - z[R, targets]
    if not gradient:
        return losses, None
    dz = e / total[:, None]  # (R, V)  y
    dz[R, targets] -= 1  # y - t, t the unit vector of the target
    return losses, _product_backward(dz, h, Wy, weights)


def sigmoid_binary_cross_entropy(
    h: Array,
    Wy: Array,
    by: Array,
    targets: Array,
    weights: Array | None = None,
    gradient: bool = True,
) -> tuple[Array, OutputGradients | None]:
    """V yes-or-no outputs: ``y = sigmoid(z)``, loss ``-sum_v (t log y + (1-t) log(1-y))`` in nats.

    ``targets`` is (R, V) in [0, 1]; the rest as in ``softmax_cross_entropy``.
    """
    check_head(h, Wy, by, targets, weights, unit="sigmoid")
    z = h @ Wy.T + by  # (R, V)
    # softplus(z) - t z; log(1 + e^z) written so that nothing overflows and a small loss keeps its digits
    losses: Array = (np.maximum(z, 0) - targets * z + np.log1p(np.exp(-np.abs(z)))).sum(axis=1)
    if not gradient:
        return losses, None
    dz = sigmoid(z) - targets  # (R, V)  y - t
    return losses, _product_backward(dz, h, Wy, weights)


def linear_squared_error(
    h: Array,
    Wy: Array,
    by: Array,
    targets: Array,
    weights: Array | None = None,
    gradient: bool = True,
) -> tuple[Array, OutputGradients | None]:
    """V real outputs: ``y = z``, loss ``1/2 sum_v (y - t)^2``; ``targets`` (R, V), the rest as above."""
    check_head(h, Wy, by, targets, weights, unit="linear")
    z = h @ Wy.T + by  # (R, V)
    losses: Array = 0.5 * ((z - targets) ** 2).sum(axis=1)
    if not gradient:
        return losses, None
    dz = z - targets  # (R, V)  y - t
    return losses, _product_backward(dz, h, Wy, weights)


def _product_backward(dz: Array, h: Array, Wy: Array, weights: Array | None) -> OutputGradients:
    """From each row's ``dz`` (R, V) of its own loss, through the row's weight and the product."""
    R = len(h)
    if weights is None:
        weights = np.full(R, 1 / max(R, 1), h.dtype)  # (R,)
    dz = dz * weights[:, None]  # (R, V)
    dby = dz.sum(axis=0)  # (V,)
    dWy = dz.T @ h  # (V, H)
    dh = dz @ Wy  # (R, H)
    return OutputGradients(dh, dWy, dby)
