"""Classification: a label for a whole text, series, image or clip."""

from backtime.tasks.classify.kind import KIND
from backtime.tasks.classify.settings import ClassifySettings

__all__ = ["KIND", "ClassifySettings"]
