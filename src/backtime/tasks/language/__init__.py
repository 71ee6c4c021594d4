"""Language modelling: predict each symbol of a text from those before it."""

from backtime.tasks.language.kind import KIND
from backtime.tasks.language.presets import PRESETS
from backtime.tasks.language.settings import LanguageSettings
from backtime.tasks.language.task import LanguageTask

__all__ = ["KIND", "PRESETS", "LanguageSettings", "LanguageTask"]
