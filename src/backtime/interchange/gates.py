"""The order of the gates: backtime's is PyTorch's, the others' is said here and nowhere else."""

import numpy as np

from backtime.reference.weights import Array

OWN = {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}
KERAS = {"rnn": "h", "gru": "zrn", "lstm": "ifgo"}
ONNX = {"rnn": "h", "gru": "zrn", "lstm": "iofg"}
OWN_PEEPHOLE, ONNX_PEEPHOLE = "ifo", "iof"


def reorder(a: Array, given: str, wanted: str) -> Array:
    """The blocks of the first axis, which lie in the order ``given``, in the order ``wanted``; a copy."""
    blocks = np.split(a, len(given))
    return np.concatenate([blocks[given.index(gate)] for gate in wanted])
