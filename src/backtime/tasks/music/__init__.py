"""Music: from the frames of a piece so far, which keys sound in the next one."""

from backtime.tasks.music.kind import KIND
from backtime.tasks.music.settings import MusicSettings

__all__ = ["KIND", "MusicSettings"]
