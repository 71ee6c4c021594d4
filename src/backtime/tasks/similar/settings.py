"""The options of ``--task similar`` and of ``evaluate``."""

from __future__ import annotations

from dataclasses import dataclass

from backtime.data.scored_pairs import COLUMNS
from backtime.fields import described
from backtime.models.similarity_config import SimilarityConfig
from backtime.tasks.base import Options
from backtime.tasks.shared.settings import ENCODER_FIELDS, SequenceEncoderSettings, epochs
from backtime.training.settings import DATA, NETWORK, STEPS

MEASURED_AT_ONCE = 64  # pairs


@dataclass(frozen=True)
class SimilarSettings(SequenceEncoderSettings):
    """A run that learns how alike texts are."""

    network_fields = (*ENCODER_FIELDS, "embedding_size")

    third_column: str = described(
        "auto", "what the third column is; auto: labels where it has nothing but 0, 1, same and different",
        group=DATA, choices=COLUMNS,
    )  # fmt: skip
    validation_fraction: float = described(
        0.1, "share of the pairs, drawn by a hash, to validate on; none of their texts is trained on",
        group=DATA, least=0, below=1,
    )  # fmt: skip
    valid_file: str | None = described(None, "pairs to validate on, in place of a share of DATA", group=DATA)
    pooling: str = described(
        "mean",
        "what of all steps makes the vector",
        group=NETWORK,
        choices=SimilarityConfig.choices["pooling"],
    )
    temperature: float = described(
        0.05, "of the softmax over a batch's cosines; of labels, at the start", group=STEPS, above=0, below=1
    )
    batch_size: int = described(64, "pairs side by side", group=STEPS, least=1)
    epochs: int = epochs(15)


@dataclass(frozen=True)
class Evaluation(Options):
    """What to measure."""

    third_column: str = described(
        "auto", "what the third column is (default: as in training)", choices=COLUMNS, tell_default=False
    )
    batch_size: int = described(MEASURED_AT_ONCE, "pairs at once, which the loss is over", least=1)
