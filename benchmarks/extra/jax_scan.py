"""The peer JAX: the layer as a good user of JAX writes it, ``lax.scan`` over a fused cell, compiled by XLA.

The product with the input is made for all steps at once, before the scan; the gradients are those of
``jax.vjp``, compiled together with the forward pass. Weights are in torch's layout and gate order.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn

Weights = tuple[Any, Any, Any, Any]  # Wx, Wh, bx, bh


def _rnn(zx: Any, zh: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    return (jnp.tanh(zx + zh),)


def _gru(zx: Any, zh: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    H = zx.shape[1] // 3
    r, z = jnp.split(nn.sigmoid(zx[:, : 2 * H] + zh[:, : 2 * H]), 2, axis=1)
    n = jnp.tanh(zx[:, 2 * H :] + r * zh[:, 2 * H :])
    return (n + z * (state[0] - n),)


def _lstm(zx: Any, zh: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    i, f, g, o = jnp.split(zx + zh, 4, axis=1)
    c = nn.sigmoid(f) * state[1] + nn.sigmoid(i) * jnp.tanh(g)
    return nn.sigmoid(o) * jnp.tanh(c), c


CELLS = {"rnn": _rnn, "gru": _gru, "lstm": _lstm}


def layer(cell: str, x: Any, weights: Weights) -> Any:
    """y (T, B, H) from x (T, B, I), from a state of zeros."""
    Wx, Wh, bx, bh = weights
    zeros = jnp.zeros((x.shape[1], Wh.shape[1]), x.dtype)
    state = (zeros, zeros) if cell == "lstm" else (zeros,)
    if cell != "gru":  # there the reset gate stands between the two biases of n
        bx, bh = bx + bh, 0.0

    def step(state: tuple[Any, ...], zx: Any) -> tuple[tuple[Any, ...], Any]:
        state = CELLS[cell](zx, state[0] @ Wh.T + bh, state)
        return state, state[0]

    return lax.scan(step, state, x @ Wx.T + bx)[1]


def _train(cell: str, x: Any, weights: Weights, dy: Any) -> list[Any]:
    y, pull = jax.vjp(lambda x, weights: layer(cell, x, weights), x, weights)
    dx, dweights = pull(dy)
    return [y, dx, *dweights]


def training(cell: str, x: np.ndarray, dy: np.ndarray, weights: Weights) -> Callable[[], list[Any]]:
    """A call that gives y, dx and the gradients of the weights, in torch's order; compiled at once."""
    arguments = jax.device_put((x, tuple(weights[:4]), dy))
    run = jax.jit(_train, static_argnums=0).lower(cell, *arguments).compile()
    return lambda: jax.block_until_ready(run(*arguments))


def inference(cell: str, x: np.ndarray, weights: Weights) -> Callable[[], Any]:
    """A call that gives y."""
    arguments = jax.device_put((x, tuple(weights[:4])))
    run = jax.jit(layer, static_argnums=0).lower(cell, *arguments).compile()
    return lambda: jax.block_until_ready(run(*arguments))
