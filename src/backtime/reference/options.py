"""What the cells share of the options that are not learned. Equations and derivation: docs/options.md.

- ``keep``    a share of the state before stays: zoneout (Krueger et al. 2016), the leak of a leaky unit
- ``h_mask``  multiplies h_{t-1} on its way into Wh: variational dropout (Gal and Ghahramani 2016)
- ``reset``   a new sequence begins at this step: the state before it is zero

They are constants: none of them has a gradient.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.reference.weights import Array

Keep = float | Array  # a number, or an array like the state after every step


class Recurrence(NamedTuple):
    """The options of one call, in the order of its steps."""

    keep_h: Keep = 0.0  # a number or (T, B, P)
    keep_c: Keep = 0.0  # a number or (T, B, H)
    h_mask: Array | None = None  # (B, P)
    reset: NDArray[np.bool_] | None = None  # (T, B)

    def enter(self, t: int, state: Array) -> Array:
        """The part (B, .) of the state as step ``t`` finds it; its gradient on the way back too."""
        if self.reset is None:
            return state
        return np.where(self.reset[t][:, None], state.dtype.type(0), state)


def at(keep: Keep, t: int) -> Keep:
    """``keep`` at step ``t``: a number, or (B, .)."""
    return keep[t] if isinstance(keep, np.ndarray) else float(keep)


def kept(new: Array, old: Array, keep: Keep) -> Array:
    """``new + keep (old - new)``, and ``new`` itself where nothing is kept."""
    if isinstance(keep, float) and keep == 0:
        return new
    return new + keep * (old - new)


def kept_backward(dh: Array, keep: Keep) -> tuple[Array, Array]:
    """What ``kept`` hands back: ``(dnew, dold)``."""
    if isinstance(keep, float) and keep == 0:
        return dh, np.zeros_like(dh)
    return dh * (1 - keep), dh * keep


def masked(h: Array, h_mask: Array | None) -> Array:
    """``h * h_mask``, and ``h`` itself where there is no mask; its own backward pass as well."""
    return h if h_mask is None else h * h_mask
