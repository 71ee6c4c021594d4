"""The weights of one recurrent layer, in PyTorch's layout, and its products with what enters a step.

The products take an optional gain ``g`` (G*H,): layer normalisation of the outcome, docs/options.md.

    product(u, W)    = u W^T
    product(u, W, g) = LN(u W^T) * g
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from backtime.reference.norm import gain_gradient, standard, standard_backward

Array = NDArray[np.floating]
Integers = NDArray[np.integer]


class Weights(NamedTuple):
    """Weights of one layer and direction: ``G`` gates, ``I`` inputs, ``H`` hidden units, ``P`` what recurs.

    The gates are stacked along the first axis in PyTorch's order: LSTM ``i f g o``, GRU ``r z n``.
    The weights after the fourth are options, which their presence switches on; P is H without ``Wy``.
    The same tuple carries the gradients, None where the weight is None.
    """

    Wx: Array  # (G*H, I)  input to hidden
    Wh: Array  # (G*H, P)  hidden to hidden
    bx: Array  # (G*H,)
    bh: Array  # (G*H,)
    Wy: Array | None = None  # (P, H)  LSTM: projection; Jordan: output product
    by: Array | None = None  # (P,)    Jordan
    p: Array | None = None  # (3, H)  LSTM: peepholes of i, f, o
    gx: Array | None = None  # (G*H,)  layer norm: gain of the input product
    gh: Array | None = None  # (G*H,)  layer norm: gain of the hidden product
    gc: Array | None = None  # (H,)    layer norm of the LSTM: gain of the cell
    bc: Array | None = None  # (H,)    layer norm of the LSTM: shift of the cell


def widths(weights: Weights) -> tuple[int, int]:
    """``(P, H)``: the width of what recurs, and the number of hidden units."""
    P: int = weights.Wh.shape[1]
    return P, P if weights.Wy is None else weights.Wy.shape[1]


def each(f: Callable[..., Array], *weights: Weights) -> Weights:
    """``f`` of each array of the weights, or of several weights' arrays side by side; None stays None."""
    found: list[Any] = [
        None if any(a is None for a in same) else f(*same) for same in zip(*weights, strict=True)
    ]
    return Weights(*found)


def one_hot(x: Array | Integers) -> TypeGuard[Integers]:
    """Whether ``x`` holds integers k that stand for the k-th unit vector, and not the vectors themselves."""
    return x.dtype.kind in "iu"


def product(u: Array | Integers, W: Array, g: Array | None = None) -> Array:
    """``u W^T`` (..., G*H) for ``u`` (..., I), or (...) integers; its rows normalised and scaled with ``g``.

    A unit vector picks a column of ``W``: a copy in place of a product.
    """
    a: Array = W.T[u] if one_hot(u) else u @ W.T
    return a if g is None else standard(a) * g


def product_backward(dz: Array, u: Array | Integers, W: Array, g: Array | None = None) -> Array:
    """``da``, the gradient at ``a = u W^T``, from ``dz`` at ``product(u, W, g)``; without ``g`` the same."""
    return dz if g is None else standard_backward(dz * g, product(u, W))


def product_gain(dz: Array, u: Array | Integers, W: Array, g: Array | None = None) -> Array | None:
    """``dg`` (G*H,), summed over every step and sequence; None without ``g``."""
    return None if g is None else gain_gradient(dz, product(u, W))


def input_gradients(da: Array, x: Array | Integers, Wx: Array) -> tuple[Array | None, Array]:
    """``(dx, dWx)`` of ``a = x Wx^T`` at all steps, from ``da`` (T, B, G*H); integers have no ``dx``."""
    if one_hot(x):
        dWx = np.zeros_like(Wx)  # (G*H, I)
        np.add.at(dWx.T, x, da)  # the column that was picked takes the gradient, as often as it was picked
        return None, dWx
    dx = da @ Wx  # (T, B, I)
    dWx = rows(da).T @ rows(cast(Array, x))  # (G*H, I)
    return dx, dWx


def rows(a: Array) -> Array:
    """(T, B, N) as (R, N), R = T*B: a product of rows^T and rows sums over steps and batch at once."""
    T, B, N = a.shape
    return a.reshape(T * B, N)


def or_zeros(
    arrays: tuple[Array | None, ...] | None, B: int, sizes: tuple[int, ...], dtype: np.dtype
) -> list[Array]:
    """Copies of the parts (B, size) of a state; zeros for one that is None, or for all of them."""
    parts = arrays or (None,) * len(sizes)
    return [np.zeros((B, n), dtype) if a is None else a.copy() for a, n in zip(parts, sizes, strict=True)]
