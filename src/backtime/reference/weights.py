"""The weights of one recurrent layer, in PyTorch's layout, and their gradients."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Weights(NamedTuple):
    """Weights of one layer and direction: ``G`` gates, ``I`` inputs, ``H`` hidden units.

    The gates are stacked along the first axis in PyTorch's order: LSTM ``i f g o``, GRU ``r z n``.
    The same tuple carries the gradients ``dWx, dWh, dbx, dbh``.
    """

    Wx: Array  # (G*H, I)  input to hidden
    Wh: Array  # (G*H, H)  hidden to hidden
    bx: Array  # (G*H,)
    bh: Array  # (G*H,)
