"""The options of ``--task translate``; those of ``evaluate`` are ``writing.Evaluation``."""

from __future__ import annotations

from dataclasses import dataclass

from backtime.fields import described
from backtime.tasks.shared.settings import share
from backtime.tasks.shared.writing import WritingSettings
from backtime.training.settings import DATA


@dataclass(frozen=True)
class TranslateSettings(WritingSettings):
    """A run that learns to translate."""

    target_file: str | None = described(
        None, "translations of the lines of DATA, where they are no tab-separated pairs", group=DATA
    )
    validation_fraction: float = share(0.02, "share of the source texts, by their hash, to validate on")
