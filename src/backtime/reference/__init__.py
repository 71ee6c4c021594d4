"""Every cell with its backward pass, in NumPy: what the tests believe and what a student reads.

- ``rnn``, ``gru``, ``lstm``, ``jordan``  one cell each: ``step``, ``forward`` and, below it, ``backward``
- ``options``        what the cells share of their options; docs/options.md
- ``norm``           layer normalisation
- ``dense``          a batch forwards or backwards in time
- ``ragged``         packed rows: sequences of different lengths; docs/ragged.md
- ``layer``          either of the two
- ``bidirectional``  both directions side by side
- ``sequences``      from lengths to packed rows and back
- ``losses``         output units with their losses; docs/losses.md
- ``activations``    the nonlinearities and their derivatives
- ``weights``        the layout of a layer's weights, its products
- ``checks``         what a call must look like, and the one line that says why not

The arithmetic is done in the dtype of the weights; in float64 it is the oracle of the engine.
"""

from backtime.reference import activations, bidirectional, gru, jordan, layer, losses, lstm, rnn
from backtime.reference.sequences import Packing
from backtime.reference.weights import Array, Weights

__all__ = [
    "Array",
    "Packing",
    "Weights",
    "activations",
    "bidirectional",
    "gru",
    "jordan",
    "layer",
    "losses",
    "lstm",
    "rnn",
]
