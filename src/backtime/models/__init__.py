"""Sequence models built of the layers of ``backtime.nn``, and their files."""

from backtime.models.files import load_model, save_model
from backtime.models.language import LanguageConfig, LanguageModel

__all__ = ["LanguageConfig", "LanguageModel", "load_model", "save_model"]
