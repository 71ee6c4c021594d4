"""Translation: a text in, another text out."""

from backtime.tasks.translate.kind import KIND
from backtime.tasks.translate.settings import TranslateSettings

__all__ = ["KIND", "TranslateSettings"]
