"""Layer normalisation (Ba, Kiros and Hinton 2016), forward and backward. Derivation: docs/options.md.

    mean = sum_k a_k / N
    s    = sqrt(sum_k (a_k - mean)^2 / N + eps)
    n    = (a - mean) / s

over the last axis, of N numbers; gain and shift are the caller's.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

LN_EPSILON = 1e-5


def standard(a: Array) -> Array:
    """``n = LN(a)`` along the last axis."""
    n, _ = _standard(a)
    return n


def standard_backward(dn: Array, a: Array) -> Array:
    """``da`` from ``dn``: what is left of ``dn`` without its mean and its share along ``n``, over ``s``."""
    n, s = _standard(a)
    da: Array = (dn - _mean(dn) - n * _mean(dn * n)) / s
    return da


def gain_gradient(dz: Array, a: Array) -> Array:
    """``dg`` of ``z = LN(a) * g``, summed over all axes but the last."""
    dg: Array = (dz * standard(a)).sum(tuple(range(a.ndim - 1)))
    return dg


def _standard(a: Array) -> tuple[Array, Array]:
    centred = a - _mean(a)
    s = np.sqrt(_mean(centred * centred) + a.dtype.type(LN_EPSILON))
    return centred / s, s


def _mean(a: Array) -> Any:
    return a.mean(axis=-1, keepdims=True)
