"""Weights of recurrent layers from and to other frameworks' layouts, as NumPy arrays: none of them is needed.

- ``torch_names``   ``state_dict`` of ``torch.nn`` (and of ``backtime.nn``)
- ``keras``         ``get_weights()`` of Keras layers
- ``onnx``          the RNN, GRU and LSTM nodes of ONNX; ``onnx_run`` computes them
- ``to_onnx``       a PyTorch module that holds recurrent layers as an ONNX file that was run and compared

Between them stands ``backtime.reference.Weights`` with the options of ``backtime.kernels``.
"""

from pathlib import Path
from typing import Any

from backtime.interchange import keras, onnx, onnx_run, torch_names

__all__ = ["keras", "onnx", "onnx_run", "to_onnx", "torch_names"]


def to_onnx(module: Any, example: Any, out: Path | str, **options: Any) -> float:
    """A PyTorch module that holds recurrent layers as ONNX; see ``backtime.interchange.torch_to_onnx``."""
    from backtime.interchange.torch_to_onnx import to_onnx as write

    return write(module, example, out, **options)
