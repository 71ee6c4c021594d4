"""Transcription: sound in, text out."""

from backtime.tasks.transcribe.kind import KIND
from backtime.tasks.transcribe.settings import TranscribeSettings

__all__ = ["KIND", "TranscribeSettings"]
