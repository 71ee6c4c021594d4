"""The weights of one recurrent layer, in PyTorch's layout, and the product with the input."""

from typing import NamedTuple, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Integers = NDArray[np.integer]


class Weights(NamedTuple):
    """Weights of one layer and direction: ``G`` gates, ``I`` inputs, ``H`` hidden units.

    The gates are stacked along the first axis in PyTorch's order: LSTM ``i f g o``, GRU ``r z n``.
    The same tuple carries the gradients ``dWx, dWh, dbx, dbh``.
    """

    Wx: Array  # (G*H, I)  input to hidden
    Wh: Array  # (G*H, H)  hidden to hidden
    bx: Array  # (G*H,)
    bh: Array  # (G*H,)


def one_hot(x: Array | Integers) -> TypeGuard[Integers]:
    """Whether ``x`` holds integers k that stand for the k-th unit vector, and not the vectors themselves."""
    return x.dtype.kind in "iu"


def input_product(x: Array | Integers, Wx: Array) -> Array:
    """``x Wx^T`` (B, G*H) for ``x`` (B, I), or (B,) integers.

    A unit vector picks a column of ``Wx``: a copy in place of a product.
    """
    if one_hot(x):
        return Wx.T[x]
    return x @ Wx.T


def input_gradients(dz: Array, x: Array | Integers, Wx: Array) -> tuple[Array | None, Array]:
    """``(dx, dWx)`` of ``input_product`` at all steps, from ``dz`` (T, B, G*H); integers have no ``dx``."""
    if one_hot(x):
        dWx = np.zeros_like(Wx)  # (G*H, I)
        np.add.at(dWx.T, x, dz)  # the column that was picked takes the gradient, as often as it was picked
        return None, dWx
    dx = dz @ Wx  # (T, B, I)
    dWx = rows(dz).T @ rows(cast(Array, x))  # (G*H, I)
    return dx, dWx


def rows(a: Array) -> Array:
    """(T, B, N) as (R, N), R = T*B: a product of rows^T and rows sums over steps and batch at once."""
    T, B, N = a.shape
    return a.reshape(T * B, N)


def or_zeros(arrays: tuple[Array | None, ...] | None, n: int, B: int, H: int, dtype: np.dtype) -> list[Array]:
    """Copies of ``n`` arrays (B, H); zeros for one that is None, or for all of them."""
    return [np.zeros((B, H), dtype) if a is None else a.copy() for a in arrays or (None,) * n]
