"""Every cell with its backward pass, in NumPy: what the tests believe and what a student reads.

- ``rnn``, ``gru``, ``lstm``  one layer: ``step``, ``forward`` and, below it, ``backward``; docs/<cell>.md
- ``losses``       output units with their losses; docs/losses.md
- ``activations``  the nonlinearities and their derivatives
- ``weights``      the layout of a layer's weights, the input product
- ``checks``       what a call must look like, and the one line that says why not

The arithmetic is done in the dtype of the weights; in float64 it is the oracle of the engine.
"""

from backtime.reference import activations, gru, losses, lstm, rnn
from backtime.reference.weights import Array, Weights

__all__ = ["Array", "Weights", "activations", "gru", "losses", "lstm", "rnn"]
