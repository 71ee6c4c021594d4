"""The options of ``--task transcribe`` and of ``evaluate``."""

from __future__ import annotations

from dataclasses import dataclass

from backtime.fields import described
from backtime.models.transcriber_config import MOST_STACK
from backtime.runtime.transcriber import BEAM
from backtime.tasks.base import Options
from backtime.tasks.shared.settings import (
    LAYERS,
    RecurrentSettings,
    dropout,
    epochs,
    hidden_size,
    layers,
    output_layers,
    share,
)
from backtime.training.settings import DATA, NETWORK


@dataclass(frozen=True)
class TranscribeSettings(RecurrentSettings):
    """A run that learns to transcribe."""

    network_fields = (*LAYERS, "output_layers", "bidirectional")

    valid_file: str | None = described(
        None, "manifest to validate on, in place of a share of DATA", group=DATA
    )
    validation_fraction: float = share(0.05, "share of the utterances, at their end, to validate on")
    sample_rate: int = described(
        8000, "samples a second; other sound is brought to it", group=DATA, least=1000, below=192_001
    )
    stack: int = described(2, "frames of 10 ms in a step", group=DATA, least=1, below=MOST_STACK + 1)
    hidden_size: int = hidden_size(128, "units a layer and direction")
    layers: int = layers(2)
    output_layers: int = output_layers()
    bidirectional: bool = described(
        True,
        "hear in both directions (default)",
        group=NETWORK,
        off=("--one-direction", "forward alone"),
    )
    dropout: float = dropout(0.2, "between layers, before the output")
    epochs: int = epochs(20)


@dataclass(frozen=True)
class Evaluation(Options):
    """How texts are searched."""

    beam: int = described(BEAM, "beginnings kept side by side", least=1)
