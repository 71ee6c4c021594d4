"""Pairs of texts as numbers, to train on and to validate on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtime.data.lexicon import Lexicon
from backtime.data.pairs import Pair, held_out, read_pairs, split_text
from backtime.data.written import Record, fingerprint, lexicon_of
from backtime.errors import UsageError
from backtime.tasks.base import Tell
from backtime.tasks.translate.settings import TranslateSettings


@dataclass(frozen=True)
class Pairs:
    """Numbered pairs to train on and to validate on."""

    training: list[Record]
    held_out: list[Record]
    sources: Lexicon
    targets: Lexicon
    level: str

    @property
    def fingerprint(self) -> str:
        """Of the numbers."""
        return fingerprint(self.training, self.held_out)

    @property
    def encoding(self) -> dict[str, Any]:
        """The symbols of both sides, and what a symbol is."""
        sides = {"sources": self.sources.to_json(), "targets": self.targets.to_json()}
        return {**sides, "level": {"level": self.level}}

    def describe(self) -> str:
        """Pairs and symbols."""
        sizes = f"{len(self.training):,} pairs, {len(self.held_out):,} to validate on"
        return f"{sizes}, {len(self.sources):,} and {len(self.targets):,} symbols"


def read_numbered(
    source: Path, settings: TranslateSettings, encoding: dict[str, Any] | None, tell: Tell
) -> Pairs:
    """All pairs of a source as numbers; those with a text that is too long are left out, and counted."""
    targets = Path(settings.target_file) if settings.target_file else None
    every = list(read_pairs(source, targets))
    kept = [own for own in every if _longest(own, settings.level) <= settings.longest]
    if len(kept) < len(every):
        many = f"{len(every) - len(kept):,} of {len(every):,} pairs"
        tell(f"{many} have more than {settings.longest} symbols: left out")
    set_aside = [held_out(own.source, settings.validation_fraction, settings.seed) for own in kept]
    training = [own for own, aside in zip(kept, set_aside, strict=True) if not aside]
    if not training:
        raise UsageError(f"{source} has no pairs to train on, of at most {settings.longest} symbols")
    sides = (
        [_count(training, side, settings) for side in ("source", "target")]
        if encoding is None
        else [Lexicon.from_json(encoding[name]) for name in ("sources", "targets")]
    )
    others = [own for own, aside in zip(kept, set_aside, strict=True) if aside]
    own, aside = (_numbered(part, sides[0], sides[1], settings.level) for part in (training, others))
    return Pairs(own, aside, sides[0], sides[1], settings.level)


def _longest(own: Pair, level: str) -> int:
    return max(len(split_text(text, level)) for text in (own.source, own.target))


def _count(pairs: list[Pair], side: str, settings: TranslateSettings) -> Lexicon:
    return lexicon_of((getattr(own, side) for own in pairs), settings.level, settings.min_count)


def _numbered(pairs: list[Pair], sources: Lexicon, targets: Lexicon, level: str) -> list[Record]:
    found = []
    for own in pairs:
        sides = split_text(own.source, level), split_text(own.target, level)
        if not all(sides):
            raise UsageError(f"{own.place} has a text without a word; expected words on both sides")
        numbers = (sources.numbers(sides[0]), targets.numbers(sides[1]))
        found.append((np.array(numbers[0], np.int64), np.array(numbers[1], np.int64)))
    return found
