"""The options of ``--task music``, of ``evaluate`` and of ``sample``."""

from __future__ import annotations

from dataclasses import dataclass

from backtime.data.pianoroll import PARTS
from backtime.fields import described
from backtime.tasks.base import Options
from backtime.tasks.shared.settings import (
    LAYERS,
    RecurrentSettings,
    hidden_size,
    layers,
    output_layers,
    share,
)
from backtime.training.settings import DATA, STEPS


@dataclass(frozen=True)
class MusicSettings(RecurrentSettings):
    """A run that learns music."""

    network_fields = (*LAYERS, "output_layers")

    hidden_size: int = hidden_size(128)
    output_layers: int = output_layers()
    layers: int = layers(1)
    batch_size: int = described(8, "pieces read side by side", group=STEPS, least=1)
    seq_length: int = described(256, "frames that a longer piece is cut into", group=STEPS, least=2)
    frames_per_beat: int = described(
        4, "frames of a quarter note, in MIDI files read and written", group=DATA, least=1
    )
    validation_fraction: float = share(
        0.1, "share of the pieces to validate on, where the data have no valid part"
    )


@dataclass(frozen=True)
class Evaluation(Options):
    """Which pieces ``backtime evaluate`` measures."""

    part: str = described("test", "of data in parts, which", choices=PARTS)


@dataclass(frozen=True)
class Sampling:
    """How music is drawn; see ``backtime.runtime.piano.Piano.sample``, which checks it."""

    out: str = described("", "MIDI file to write")
    length: int = described(64, "frames to draw")
    start: str = described("", "piece to go on from (default: silence)")
    start_frames: int = described(8, "frames of it")
    temperature: float = described(1.0, "below 1 bolder, above 1 wilder; 0 draws nothing", group="drawing")
    tempo: float = described(100.0, "beats a minute", group="drawing")
    seed: int = described(0, "same seed, same music", group="drawing")
