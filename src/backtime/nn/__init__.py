"""The PyTorch face: recurrent layers with ``torch.nn``'s names and shapes, trained by the engine.

- ``RNN``, ``GRU``, ``LSTM``   in place of ``torch.nn``'s: same arguments, same ``state_dict``, same initial
  weights
- ``SoftmaxCrossEntropy``      output layer and loss in one, without the logits in memory
"""

from backtime.nn.gru import GRU
from backtime.nn.head import SoftmaxCrossEntropy
from backtime.nn.lstm import LSTM
from backtime.nn.rnn import RNN

__all__ = ["GRU", "LSTM", "RNN", "SoftmaxCrossEntropy"]
