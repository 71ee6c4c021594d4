"""Regression: a number for a whole text, series, image or clip."""

from backtime.tasks.regress.kind import KIND
from backtime.tasks.regress.settings import RegressSettings

__all__ = ["KIND", "RegressSettings"]
