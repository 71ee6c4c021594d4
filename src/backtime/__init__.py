"""Recurrent neural networks with the backward pass through time made fast, exact and visible.

``import backtime`` needs NumPy and safetensors only.

- ``backtime.reference``  every cell and its backward pass, in readable NumPy
- ``backtime.kernels``    the same functions, on the compiled engine where it can
- ``backtime.runtime``    load a trained model, step it, sample from it: no PyTorch
- ``backtime.nn``         PyTorch layers (needs the ``train`` extra; import it by name)
"""

from importlib.metadata import version

from backtime.errors import UsageError

__version__ = version("backtime")

__all__ = ["UsageError", "__version__"]
