"""Trained models without PyTorch: load, step, stream, sample. NumPy, safetensors and the engine.

>>> from backtime import runtime
>>> model = runtime.load("runs/text-1")
>>> print("".join(model.sample("ROMEO:", length=200, temperature=0.8, seed=1)))
"""

from backtime.models.config import LanguageConfig
from backtime.runtime.model import Model, Stream, load

__all__ = ["LanguageConfig", "Model", "Stream", "load"]
