"""Captions: an image in, a text out."""

from backtime.tasks.caption.kind import KIND
from backtime.tasks.caption.settings import CaptionSettings

__all__ = ["KIND", "CaptionSettings"]
