"""Images with texts as numbers, to train on and to validate on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from backtime.data.batching.steps import scale_of, symbols_of
from backtime.data.caption_files import EXPECTED, read_captioned
from backtime.data.captions import Captioned, Captions, Frame, frame_of, held_out_image
from backtime.data.lexicon import Lexicon
from backtime.data.written import Record, lexicon_of
from backtime.errors import UsageError
from backtime.fields import read
from backtime.tasks.base import Tell
from backtime.tasks.caption.settings import CaptionSettings, config_of


def read_captions(
    source: Path, settings: CaptionSettings, encoding: dict[str, Any] | None, tell: Tell
) -> Captions:
    """All images of a source; those with a text that is too long are left out, and counted."""
    every = _kept(read_texted(source, settings.text_file, settings.color), settings, tell)
    frame = read(Frame, encoding["frame"], "frame", complete=True) if encoding else frame_of(every)
    for own in every:
        frame.checked(own)
    aside = [held_out_image(own.image, settings.validation_fraction, settings.seed) for own in every]
    training = [own for own, out in zip(every, aside, strict=True) if not out]
    if not training:
        raise UsageError(f"{source} has no images to train on; {EXPECTED}")
    encoding = encoding or _encoding(training, frame, settings)
    config_of(encoding, settings).check_encoding(encoding)  # of a run that goes on it may be damaged
    encoding = {**encoding, "level": {"level": settings.level}}
    others = [own for own, out in zip(every, aside, strict=True) if out]
    return Captions(_numbered(training, encoding), _numbered(others, encoding), encoding)


def read_texted(source: Path, texts: str | None, color: bool) -> list[Captioned]:
    """All images of a source with their texts; raises ``UsageError`` where there is none."""
    every = list(read_captioned(source, Path(texts) if texts else None, color))
    if not every:
        raise UsageError(f"{source} has no images in it; {EXPECTED}")
    return every


def _kept(every: list[Captioned], settings: CaptionSettings, tell: Tell) -> list[Captioned]:
    kept = [own for own in every if len(symbols_of(own.text, settings.level)) <= settings.longest]
    if len(kept) < len(every):
        many = f"{len(every) - len(kept):,} of {len(every):,} images"
        tell(f"{many} have a text of more than {settings.longest} symbols: left out")
    return kept


def _encoding(training: list[Captioned], frame: Frame, settings: CaptionSettings) -> dict[str, Any]:
    targets = lexicon_of((own.text for own in training), settings.level, settings.min_count)
    longest = max(len(symbols_of(own.text, settings.level)) for own in training)
    scale = scale_of([own.image.reshape(-1, frame.channels) for own in training])
    return {
        "targets": targets.to_json(),
        "level": {"level": settings.level},
        "scale": scale.to_json(),
        "frame": {**frame.to_json(), "longest": longest},
    }


def _numbered(every: Iterable[Captioned], encoding: dict[str, Any]) -> list[Record]:
    targets, level = Lexicon.from_json(encoding["targets"]), encoding["level"]["level"]
    return [(own.image, np.array(targets.numbers(symbols_of(own.text, level)), np.int64)) for own in every]
