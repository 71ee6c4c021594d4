"""The options of ``--task tag`` and of ``evaluate``."""

from __future__ import annotations

from dataclasses import dataclass

from backtime.fields import described
from backtime.tasks.base import Options
from backtime.tasks.shared.settings import (
    LAYERS,
    RecurrentSettings,
    dropout,
    epochs,
    hidden_size,
    layers,
    output_layers,
)
from backtime.training.settings import DATA, NETWORK, STEPS

MEASURED_AT_ONCE = 64  # sentences


@dataclass(frozen=True)
class TagSettings(RecurrentSettings):
    """A run that learns to tag words."""

    network_fields = (*LAYERS, "output_layers", "word_size", "character_size", "spelling_size", "crf")

    word_column: int = described(
        0, "column of the words, from 1 (default: the first; of CoNLL-U the second)",
        group=DATA, least=0, tell_default=False,
    )  # fmt: skip
    tag_column: int = described(
        0, "column of the tags, from 1 (default: the last; of CoNLL-U the fourth, UPOS)",
        group=DATA, least=0, tell_default=False,
    )  # fmt: skip
    valid_file: str | None = described(None, "data to validate on, in place of a share of DATA", group=DATA)
    min_count: int = described(1, "how often a word comes at least to have a vector", group=DATA, least=1)
    metric: str = described(
        "accuracy", "what makes a model the best: share of tags, or F1 of entities tagged B-X I-X O",
        group=DATA, choices=("accuracy", "f1"),
    )  # fmt: skip
    hidden_size: int = hidden_size(150, "units a layer and direction")
    layers: int = layers(1)
    dropout: float = dropout(0.5, "the layers' input, the layers' output")
    output_layers: int = output_layers()
    word_size: int = described(100, "length of a word's vector", group=NETWORK, least=1)
    character_size: int = described(32, "length of a character's vector", group=NETWORK, least=1)
    spelling_size: int = described(
        50, "units that read a word's characters, a direction", group=NETWORK, least=1
    )
    crf: bool = described(
        False, "score tags that follow each other: a conditional random field", group=NETWORK
    )
    word_dropout: float = described(
        0.25, "A: a word that came N times is read as unknown with probability A / (A + N)",
        group=STEPS, least=0,
    )  # fmt: skip
    epochs: int = epochs(12)


@dataclass(frozen=True)
class Evaluation(Options):
    """How many sentences are tagged at once."""

    batch_size: int = described(MEASURED_AT_ONCE, "sentences at once", least=1)
