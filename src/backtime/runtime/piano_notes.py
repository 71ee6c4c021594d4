"""Piano rolls from JSON: lists of frames, each a list of the notes that sound."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.midi import LOWEST
from backtime.data.pianoroll import KEYS, Roll, note_name
from backtime.runtime.json_records import LONGEST, wrong

NOTES: dict[str | int, int] = {note_name(key): key for key in range(KEYS)}
NOTES |= {key + LOWEST: key for key in range(KEYS)}


def rolls(values: list[Any]) -> list[Roll]:
    """Pieces, named by their numbers."""
    return [Roll(str(number), _frames(own, number)) for number, own in enumerate(values, 1)]


def _frames(value: Any, number: int) -> NDArray[np.float32]:
    wanted = "a list of frames, each a list of notes such as 'C4' or 60"
    if not isinstance(value, list) or not 1 <= len(value) <= LONGEST:
        raise wrong(number, value, wanted)
    frames = np.zeros((len(value), KEYS), np.float32)
    for t, frame in enumerate(value):
        if not isinstance(frame, list):
            raise wrong(number, frame, wanted)
        frames[t, [_key(note, number) for note in frame]] = 1
    return frames


def _key(note: Any, number: int) -> int:
    key = NOTES.get(note) if isinstance(note, str | int) and not isinstance(note, bool) else None
    if key is None:
        raise wrong(number, note, "notes from A0 to C8, or 21 to 108")
    return key
