"""Similarity: how alike two texts are, by a network that reads both."""

from backtime.tasks.similar.kind import KIND
from backtime.tasks.similar.settings import SimilarSettings

__all__ = ["KIND", "SimilarSettings"]
