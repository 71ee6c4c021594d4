"""Recurrent neural networks with the backward pass through time made fast, exact and visible.

``import backtime`` needs NumPy and safetensors only.

- ``backtime.reference``  every cell and its backward pass, in readable NumPy
- ``backtime.kernels``    the same functions, on the compiled engine where it can
- ``backtime.runtime``    load a trained model, step it, sample from it: no PyTorch
- ``backtime.nn``         PyTorch layers (needs the ``train`` extra; import it by name)
- ``backtime.tasks``      the jobs: what a model is trained for
- ``backtime.accelerate``, ``backtime.restore``  the recurrent layers of an existing PyTorch model, and back

This is the front door, above all rooms: nothing inside the package imports through it.
"""

from typing import Any

from backtime.errors import UsageError
from backtime.version import __version__

__all__ = ["UsageError", "__version__", "accelerate", "restore"]


def __getattr__(name: str) -> Any:
    """``accelerate`` and ``restore`` need PyTorch, which loads when they are asked for."""
    if name in ("accelerate", "restore"):
        from backtime.nn import accelerate as module

        return getattr(module, name)
    raise AttributeError(f"module 'backtime' has no attribute {name!r}")
