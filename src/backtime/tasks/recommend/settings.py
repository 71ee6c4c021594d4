"""The options of ``--task recommend`` and of ``evaluate``."""

from __future__ import annotations

from dataclasses import dataclass

from backtime.data.sessions import Names
from backtime.fields import described
from backtime.runtime.recommender import TOP
from backtime.tasks.base import Options
from backtime.tasks.shared.settings import (
    LAYERS,
    RecurrentSettings,
    cell,
    dropout,
    epochs,
    hidden_size,
    layers,
    output_layers,
    share,
)
from backtime.training.settings import DATA, NETWORK, STEPS


@dataclass(frozen=True)
class RecommendSettings(RecurrentSettings):
    """A run that learns to recommend."""

    network_fields = (*LAYERS, "output_layers", "embedding_size")

    session_column: str = described("session", "name of the column of sessions", group=DATA)
    item_column: str = described("item", "name of the column of items", group=DATA)
    time_column: str = described("time", "name of the column of times", group=DATA)
    validation_fraction: float = share(0.1, "share of the sessions, those that begin last, to validate on")
    min_count: int = described(1, "how often an item comes at least to be known", group=DATA, least=1)
    longest: int = described(200, "steps; a longer session is cut, in training", group=DATA, least=1)
    cell: str = cell("gru")
    hidden_size: int = hidden_size(100)
    layers: int = layers(1)
    output_layers: int = output_layers()
    embedding_size: int = described(100, "length of an item's vector", group=NETWORK, least=1)
    dropout: float = dropout(0.2, "vectors, layers, output")
    negatives: int = described(
        0, "items beside the right one that the loss is over, drawn by popularity; 0: all items", group=STEPS,
        least=0,
    )  # fmt: skip
    epochs: int = epochs(10)

    @property
    def names(self) -> Names:
        """The columns."""
        return Names(self.session_column, self.item_column, self.time_column)


@dataclass(frozen=True)
class Evaluation(Options):
    """How many items are recommended."""

    top: int = described(TOP, "items that are recommended", least=1)
