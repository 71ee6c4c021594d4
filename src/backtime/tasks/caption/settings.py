"""The options of ``--task caption`` and of ``evaluate``, and the network that they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backtime.data.lexicon import Lexicon
from backtime.fields import described
from backtime.models.captioner_config import MOST_BLOCKS, CaptionerConfig
from backtime.tasks.shared.settings import share
from backtime.tasks.shared.writing import NETWORK_FIELDS, Evaluation, WritingSettings
from backtime.training.settings import DATA, NETWORK

TEXT_FILE = "texts of an idx file's images, one a line (default: its labels)"


@dataclass(frozen=True)
class CaptionSettings(WritingSettings):
    """A run that learns to caption images."""

    network_fields = (*NETWORK_FIELDS, "filters", "blocks")

    text_file: str | None = described(None, TEXT_FILE, group=DATA)
    color: bool = described(False, "read picture files in color, not as grey values", group=DATA)
    validation_fraction: float = share(0.05, "share of the images, by their hash, to validate on")
    attention: bool = described(False, "look at the places of the image at each step", group=NETWORK)
    filters: int = described(
        16, "of the first block; each further one has twice as many", group=NETWORK, least=1
    )
    blocks: int = described(
        3,
        "blocks of convolution, each of which halves the image",
        group=NETWORK,
        least=1,
        below=MOST_BLOCKS + 1,
    )


@dataclass(frozen=True)
class CaptionEvaluation(Evaluation):
    """How captions are written and measured."""

    text_file: str | None = described(None, TEXT_FILE)


def config_of(encoding: dict[str, Any], settings: CaptionSettings) -> CaptionerConfig:
    """The network; raises ``UsageError`` where the images are too small for it."""
    frame = encoding["frame"]
    sizes = {name: frame[name] for name in ("rows", "columns", "channels")}
    targets = len(Lexicon.from_json(encoding["targets"]))
    return CaptionerConfig(**settings.network(), **sizes, targets=targets)
