"""Recommendation: the next item of a session."""

from backtime.tasks.recommend.kind import KIND
from backtime.tasks.recommend.settings import RecommendSettings

__all__ = ["KIND", "RecommendSettings"]
