"""Tagging: a tag for every word of a sentence. Parts of speech, slots, names of people and places."""

from backtime.tasks.tag.kind import KIND
from backtime.tasks.tag.settings import TagSettings

__all__ = ["KIND", "TagSettings"]
