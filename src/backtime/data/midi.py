"""MIDI files to piano rolls and back, by mido (the optional extra ``music``)."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UsageError
from backtime.files import atomic_write

KEYS, LOWEST = 88, 21  # A0 to C8, of the 128 pitches of MIDI
DRUMS = 9  # the channel of percussion, whose pitches are no pitches
TICKS = 480  # a beat, in files that are written
VELOCITY = 80


def _mido() -> Any:
    try:
        import mido
    except ModuleNotFoundError as error:
        raise UsageError("MIDI files need mido: pip install 'backtime[music]'") from error
    return mido


def read_midi(path: Path, frames_per_beat: int) -> NDArray[np.float32]:
    """The frames (T, 88) of a MIDI file, ``frames_per_beat`` to a quarter note.

    A note sounds in the frames from the one nearest to its start to the one nearest to its end, one at least.
    Notes off the piano's keys and percussion are left out. Raises ``UsageError`` where it is no MIDI file.
    """
    mido = _mido()
    try:
        file = mido.MidiFile(file=io.BytesIO(path.read_bytes()))
        notes = _notes(file, file.ticks_per_beat / frames_per_beat)
    except OSError as error:
        if error.strerror:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        raise UsageError(f"{path} is no MIDI file: {error}") from error  # mido's words for a wrong head
    except Exception as error:  # mido raises what the broken byte leads to
        raise UsageError(f"{path} is no whole MIDI file: {error or type(error).__name__}") from error
    roll = np.zeros((max((end for _, _, end in notes), default=0), KEYS), np.float32)
    for key, start, end in notes:
        roll[start:end, key] = 1
    return roll


def _notes(file: Any, ticks: float) -> list[tuple[int, int, int]]:
    """Key, first frame and the frame after the last one of each note."""
    begun: dict[tuple[int, int], int] = {}
    notes, time = [], 0
    for message in _merged(file):
        time += message.time
        if message.type not in ("note_on", "note_off") or message.channel == DRUMS:
            continue
        place, key = (message.channel, message.note), message.note - LOWEST
        if place in begun:  # ended, or struck again
            start = begun.pop(place)
            if 0 <= key < KEYS:
                first = round(start / ticks)
                notes.append((key, first, max(first + 1, round(time / ticks))))
        if message.type == "note_on" and message.velocity:
            begun[place] = time
    return notes


def _merged(file: Any) -> Any:
    """The messages of all tracks in the order of time, which is in ticks."""
    return _mido().merge_tracks(file.tracks)


def write_midi(path: Path, frames: NDArray[np.float32], frames_per_beat: int, tempo: float) -> None:
    """Write frames (T, 88) as a MIDI file, whole or not at all; ``tempo`` in beats a minute.

    A key that sounds in frames one after the other is one note.
    """
    mido = _mido()
    file = mido.MidiFile(ticks_per_beat=TICKS)
    track = mido.MidiTrack()
    file.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo)))
    silence = np.zeros((1, frames.shape[1]), np.int8)
    steps = np.diff(np.concatenate([silence, (frames > 0).astype(np.int8), silence]), axis=0)
    now = 0
    for frame, changes in enumerate(steps):
        for kind, sign in (("note_off", -1), ("note_on", 1)):
            for key in np.flatnonzero(changes == sign).tolist():
                at = round(frame * TICKS / frames_per_beat)
                track.append(mido.Message(kind, note=key + LOWEST, velocity=VELOCITY, time=at - now))
                now = at
    content = io.BytesIO()
    file.save(file=content)
    with atomic_write(path) as out:
        out.write(content.getvalue())
