"""Pieces to train on and to validate on, and what of them is read and what is to be found."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtime.data.pianoroll import KEYS, Roll, read_parts
from backtime.errors import UsageError, shown
from backtime.tasks.music.settings import MusicSettings

Example = tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.float32]]]


@dataclass(frozen=True)
class Pieces:
    """The data: pieces to train on and pieces to validate on."""

    training: list[Roll]
    held_out: list[Roll]
    frames_per_beat: int

    @property
    def fingerprint(self) -> str:
        """Of the frames, in their order."""
        digest = hashlib.blake2b(repr([len(self.training), self.frames_per_beat]).encode())
        for piece in (*self.training, *self.held_out):
            digest.update(repr(piece.frames.shape).encode() + np.packbits(piece.frames > 0).tobytes())
        return digest.hexdigest()

    @property
    def encoding(self) -> dict[str, Any]:
        """How many keys a frame has, and how long it lasts."""
        return {"roll": {"keys": KEYS, "frames_per_beat": self.frames_per_beat}}

    def describe(self) -> str:
        """Pieces and frames."""
        frames = sum(len(piece.frames) for piece in self.training)
        return f"{len(self.training):,} pieces of {frames:,} frames, {len(self.held_out):,} to validate on"


def read_pieces(source: Path, settings: MusicSettings, encoding: dict[str, Any] | None) -> Pieces:
    """The pieces of a source; without a part to validate on the last ones are set aside."""
    frames = _frames_per_beat(encoding) if encoding else settings.frames_per_beat
    parts = read_parts(source, frames)
    training, held_out = parts.get("train") or parts.get(""), parts.get("valid")
    if not training:
        raise UsageError(f"{source} has the part {', '.join(parts)} alone; expected train")
    if held_out is None and settings.validation_fraction:
        border = len(training) - max(1, round(len(training) * settings.validation_fraction))
        if border < 1:
            raise UsageError(
                f"{source} has {len(training)} piece; expected 2 or more, one to validate on, or "
                "--validation-fraction 0"
            )
        training, held_out = training[:border], training[border:]
    return Pieces(training, held_out or [], frames)


def cut(piece: Roll, length: int) -> list[Example]:
    """Input and target frames, each (T, K): at each step the frame before, at first silence."""
    before = np.concatenate([np.zeros_like(piece.frames[:1]), piece.frames[:-1]])
    starts = range(0, len(before), length)
    return [(before[at : at + length], piece.frames[at : at + length]) for at in starts]


def _frames_per_beat(encoding: dict[str, Any]) -> int:
    match encoding["roll"]:
        case {"frames_per_beat": int(frames)} if frames > 0:
            return frames
    raise UsageError(f"the roll is {shown(encoding['roll'])}; expected frames_per_beat")
