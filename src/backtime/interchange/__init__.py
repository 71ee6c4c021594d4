"""Weights of recurrent layers from and to other frameworks' layouts, as NumPy arrays: none of them is needed.

- ``torch_names``   ``state_dict`` of ``torch.nn`` (and of ``backtime.nn``)
- ``keras``         ``get_weights()`` of Keras layers
- ``onnx``          the RNN, GRU and LSTM nodes of ONNX; ``onnx_run`` computes them

Between them stands ``backtime.reference.Weights`` with the options of ``backtime.kernels``.
"""

from backtime.interchange import keras, onnx, onnx_run, torch_names

__all__ = ["keras", "onnx", "onnx_run", "torch_names"]
