"""One step of every cell, with every option, as plain differentiable torch operations.

``zx`` is the input product of the step with its bias, (B, G*H). A step returns the new state and what to
trace: each gate, (B, H), by name. ``options`` are those of the kernels.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from backtime.nn.types import Options, States, Weights

LN_EPSILON = 1e-5
Step = tuple[States, dict[str, Tensor]]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda z: z,
}


def product(v: Tensor, W: Tensor, b: Tensor | None, gain: Tensor | None) -> Tensor:
    """``W v + b``, or ``LN(W v) gain + b`` (Ba et al., arXiv 1607.06450)."""
    if gain is None:
        return functional.linear(v, W, b)
    return functional.layer_norm(functional.linear(v, W), (len(W),), gain, b, LN_EPSILON)


def rnn(zx: Tensor, state: States, w: Weights, options: Options) -> Step:
    """``h = f(zx + Wh h + bh)``."""
    (h,) = state
    z = zx + product(_masked(h, options), w.Wh, w.bh, w.gh)
    new = ACTIVATIONS[options.get("activation", "tanh")](z)
    return (_kept(new, h, options.get("keep_h")),), {"z": z}


def gru(zx: Tensor, state: States, w: Weights, options: Options) -> Step:
    """``h = (1 - z) n + z h``, the reset gate after or before the product with ``Wh_n``."""
    (h,) = state
    H = len(w.Wh) // 3
    into = _masked(h, options)
    if options.get("reset_after", True):
        zr, zz, zn = zx.chunk(3, -1)
        hr, hz, hn = product(into, w.Wh, w.bh, w.gh).chunk(3, -1)
        r = torch.sigmoid(zr + hr)
        z = torch.sigmoid(zz + hz)
        n = torch.tanh(zn + r * hn)
    else:
        bh, bh_n = (None, None) if w.bh is None else (w.bh[: 2 * H], w.bh[2 * H :])
        r, z = torch.sigmoid(zx[..., : 2 * H] + functional.linear(into, w.Wh[: 2 * H], bh)).chunk(2, -1)
        n = torch.tanh(zx[..., 2 * H :] + functional.linear(r * into, w.Wh[2 * H :], bh_n))
    new = (1 - z) * n + z * h
    return (_kept(new, h, options.get("keep_h")),), {"r": r, "z": z, "n": n}


def lstm(zx: Tensor, state: States, w: Weights, options: Options) -> Step:
    """``c = f c + i g``, ``h = Wy (o tanh c)``; and what options add."""
    h, c = state
    zi, zf, zg, zo = (zx + product(_masked(h, options), w.Wh, w.bh, w.gh)).chunk(4, -1)
    if w.p is not None:
        zi, zf = zi + w.p[0] * c, zf + w.p[1] * c
    i = torch.sigmoid(zi)
    f = 1 - i if options.get("coupled") else torch.sigmoid(zf)
    g = torch.tanh(zg)
    new_c = f * c + i * g
    o = torch.sigmoid(zo if w.p is None else zo + w.p[2] * new_c)
    new_h = o * torch.tanh(_normalised(new_c, w))
    if w.Wy is not None:
        new_h = functional.linear(new_h, w.Wy)
    state = _kept(new_h, h, options.get("keep_h")), _kept(new_c, c, options.get("keep_c"))
    return state, {"i": i, "f": f, "g": g, "o": o}


def jordan(zx: Tensor, state: States, w: Weights, options: Options) -> Step:
    """``h = f(zx + Wh y + bh)``, ``y = g(Wy h + by)``; the state is ``y``."""
    (y,) = state
    z = zx + product(_masked(y, options), w.Wh, w.bh, w.gh)
    h = ACTIVATIONS[options.get("activation", "tanh")](z)
    assert w.Wy is not None  # a Jordan network has one
    y = ACTIVATIONS[options.get("output_activation", "identity")](functional.linear(h, w.Wy, w.by))
    return (y,), {"z": z, "h": h}


STEPS: dict[str, Callable[[Tensor, States, Weights, Options], Step]] = {
    "rnn": rnn,
    "gru": gru,
    "lstm": lstm,
    "jordan": jordan,
}


def _masked(h: Tensor, options: Options) -> Tensor:
    """What of the state enters ``Wh``: variational dropout (Gal and Ghahramani, arXiv 1512.05287)."""
    mask = options.get("h_mask")
    return h if mask is None else h * mask


def _kept(new: Tensor, old: Tensor, keep: Tensor | float | None) -> Tensor:
    """``new + keep (old - new)``: zoneout (Krueger et al., arXiv 1606.01305), or a leak."""
    return new if keep is None else new + keep * (old - new)


def _normalised(c: Tensor, w: Weights) -> Tensor:
    return c if w.gc is None else functional.layer_norm(c, w.gc.shape, w.gc, w.bc, LN_EPSILON)
