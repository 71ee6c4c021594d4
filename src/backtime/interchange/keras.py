"""Keras: ``get_weights()`` of SimpleRNN, GRU and LSTM as Weights, and back. A list of NumPy arrays.

    kernel (I, G*H), recurrent kernel (H, G*H), bias (G*H,)      gates: LSTM i f g o; GRU z r n
    GRU with reset_after (Keras's default): bias (2, 3H), of the input and of the hidden state
    Bidirectional: the list of the forward layer, then that of the backward layer

Keras has one bias where backtime has two: it comes in as bx, and goes out as bx + bh.
"""

from collections.abc import Sequence

import numpy as np

from backtime.errors import UsageError
from backtime.interchange.gates import KERAS, OWN, reorder
from backtime.reference.weights import Array, Weights


def from_keras(cell: str, arrays: Sequence[Array], reset_after: bool = True) -> Weights:
    """Weights of one layer and direction; ``reset_after`` is the GRU's, and must be given to the cell too."""
    _check_cell(cell)
    if len(arrays) not in (2, 3):
        raise UsageError(
            f"arrays has {len(arrays)} parts; expected kernel, recurrent kernel and, with it, bias"
        )
    Wx, Wh = (reorder(np.asarray(a).T, KERAS[cell], OWN[cell]) for a in arrays[:2])
    GH = len(Wx)
    two = cell == "gru" and reset_after
    biases = np.zeros((2, GH), Wx.dtype)
    if len(arrays) == 3:
        given, wanted = np.asarray(arrays[2]), (2, GH) if two else (GH,)
        if given.shape != wanted:
            form = f" with reset_after={reset_after}" if cell == "gru" else ""
            raise UsageError(f"bias has shape {given.shape}; expected {wanted}{form}")
        biases[: 1 + two] = given
    bx, bh = (reorder(b, KERAS[cell], OWN[cell]) for b in biases)
    return Weights(Wx, Wh, bx, bh)


def to_keras(cell: str, weights: Weights, reset_after: bool = True) -> list[Array]:
    """``[kernel, recurrent kernel, bias]`` for ``set_weights``."""
    _check_cell(cell)
    beyond = [name for name, value in weights._asdict().items() if name not in _OWN and value is not None]
    if beyond:
        raise UsageError(f"weights have {', '.join(beyond)}; Keras has a place for {', '.join(_OWN)} alone")
    Wx, Wh, bx, bh = (reorder(a, OWN[cell], KERAS[cell]) for a in weights[:4])
    bias = np.stack([bx, bh]) if cell == "gru" and reset_after else bx + bh
    return [np.ascontiguousarray(Wx.T), np.ascontiguousarray(Wh.T), bias]


_OWN = ("Wx", "Wh", "bx", "bh")


def _check_cell(cell: str) -> None:
    if cell not in KERAS:
        raise UsageError(f"cell is {cell!r}; expected one of {', '.join(KERAS)}")
