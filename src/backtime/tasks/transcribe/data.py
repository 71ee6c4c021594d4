"""Utterances as features and numbers of characters."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.audio import Floats, Hearing, Utterance, Utterances, read_manifest
from backtime.data.batching.steps import Scale, scale_of
from backtime.data.lexicon import Lexicon, closed
from backtime.errors import UnknownValueError, UsageError
from backtime.tasks.transcribe.settings import TranscribeSettings

Numbers = NDArray[np.int64]

Spoken = tuple[Floats, Numbers]


def read_utterances(
    source: Path | None, settings: TranscribeSettings, encoding: dict[str, Any] | None
) -> Utterances:
    """All utterances of a manifest, and those to validate on."""
    hearing = Hearing(settings.sample_rate, settings.stack)
    training = list(read_manifest(source, hearing))
    if settings.valid_file is not None:
        held_out = list(read_manifest(Path(settings.valid_file), hearing))
    else:
        border = len(training) - round(len(training) * settings.validation_fraction)
        training, held_out = training[:border], training[border:]
    if not training:
        raise UsageError(f"{source} has no utterance to train on; expected files and texts")
    encoding = encoding or _encoding(training, hearing)
    characters, scale = Lexicon.from_json(encoding["characters"]), Scale.from_json(encoding["scale"])
    own, others = ([_numbered(one, characters, scale) for one in part] for part in (training, held_out))
    return Utterances(own, others, encoding)


def _encoding(training: list[Utterance], hearing: Hearing) -> dict[str, Any]:
    characters = closed("character", (c for own in training for c in own.text))
    scale = scale_of([own.features for own in training])
    return {"characters": characters.to_json(), "scale": scale.to_json(), "hearing": asdict(hearing)}


def _numbered(own: Utterance, characters: Lexicon, scale: Scale) -> Spoken:
    try:
        numbers = characters.numbers(own.text)
    except UnknownValueError as error:
        raise UnknownValueError(f"{own.name}: {error}") from error
    return (own.features - scale.mean) / scale.deviation, np.array(numbers, np.int64) + 1
