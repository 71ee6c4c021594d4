"""The PyTorch face: recurrent layers with ``torch.nn``'s names and shapes, trained by the engine.

- ``RNN``, ``GRU``, ``LSTM``               in place of ``torch.nn``'s: same arguments, ``state_dict`` and
  initial weights; more by keyword
- ``RNNCell``, ``GRUCell``, ``LSTMCell``   one step, in place of ``torch.nn``'s
- ``Jordan``                               the network whose output recurs
- ``SoftmaxCrossEntropy``                  output layer and loss in one, without the logits in memory
- ``state``                                helpers for states: detach, select, reset, stack
"""

from backtime.nn import state
from backtime.nn.backends import FallbackWarning, dynamo
from backtime.nn.backends.layers import Trace
from backtime.nn.backends.nan_input import NaNWarning
from backtime.nn.cells import Cell, GRUCell, LSTMCell, RNNCell
from backtime.nn.gru import GRU
from backtime.nn.head import SoftmaxCrossEntropy
from backtime.nn.jordan import Jordan
from backtime.nn.layer import Recurrent
from backtime.nn.lstm import LSTM
from backtime.nn.recording import prune, quantize, script
from backtime.nn.rnn import RNN

dynamo.take_in(Recurrent)
prune.take_in(Recurrent, Cell)
quantize.take_in(Recurrent, Cell)
script.take_in(Recurrent, Cell)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "FallbackWarning",
    "GRUCell",
    "Jordan",
    "LSTMCell",
    "NaNWarning",
    "RNNCell",
    "SoftmaxCrossEntropy",
    "Trace",
    "state",
]
