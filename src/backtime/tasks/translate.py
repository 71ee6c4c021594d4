"""Translation: a text in, another text out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtime.data.lexicon import Lexicon
from backtime.data.pairs import Pair, held_out, joined, read_pairs, split_text
from backtime.data.written import Padded, Record, fingerprint, lexicon_of
from backtime.errors import UsageError
from backtime.fields import described
from backtime.models.encoder_decoder_config import EncoderDecoderConfig
from backtime.models.file import ModelFile
from backtime.runtime.translator import Translator
from backtime.tasks import scores
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.writing import NETWORK_FIELDS, Evaluation, WritingSettings, WritingTask, text_batch
from backtime.training.metrics import Metric
from backtime.training.settings import DATA

if TYPE_CHECKING:
    from backtime.insight.decisions import Question
    from backtime.models.writer import TextBatch, Writer

EXAMPLES = """\
examples:
  backtime train fra-eng.txt --task translate --attention
  backtime train english.txt --task translate --target-file french.txt
  backtime evaluate runs/fra-eng-gru-1 test.tsv
  backtime predict runs/fra-eng-gru-1 new.txt --picture attention.svg"""


@dataclass(frozen=True)
class TranslateSettings(WritingSettings):
    """A run that learns to translate."""

    target_file: str | None = described(
        None, "translations of the lines of DATA, where they are no tab-separated pairs", group=DATA
    )
    validation_fraction: float = described(
        0.02, "share of the source texts, by their hash, to validate on", group=DATA, least=0, below=1
    )


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


class TranslateTask(WritingTask):
    """An encoder-decoder and its pairs, in batches whose sources are about as long as each other."""

    name = "translate"

    def length(self, record: Record) -> int:
        """The symbols of the source."""
        return len(record[0])

    def batch(self, records: list[Record]) -> TextBatch:
        """Pairs as padded tensors where the network is."""
        return batch_of(records, self.network)


class TranslateKind(TaskKind):
    """Translation."""

    name, settings, evaluation = "translate", TranslateSettings, Evaluation
    data = "pairs of texts: two columns with a tab between them, or a file beside --target-file"
    examples = EXAMPLES

    def metrics(self, settings: TranslateSettings) -> tuple[Metric, ...]:
        """The loss."""
        return TranslateTask.metrics

    def prepare(
        self,
        source: Path | None,
        settings: TranslateSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Pairs:
        """All pairs, in memory; those with a text that is too long are left out, and counted."""
        scores.check_installed("sacrebleu")
        source = self.required(source)
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

    def build(self, data: Pairs, settings: TranslateSettings, start: ModelFile | None) -> TranslateTask:
        """The encoder-decoder that the settings ask for."""
        from backtime.models.encoder_decoder import EncoderDecoder
        from backtime.models.saving import begun_from
        from backtime.training.devices import on_device

        sizes: dict[str, Any] = {"sources": len(data.sources), "targets": len(data.targets)}
        network = begun_from(start, EncoderDecoder(EncoderDecoderConfig(**settings.network(), **sizes)))
        return TranslateTask(on_device(network, settings.device), data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and level."""
        fixed = {name: getattr(start.config, name) for name in NETWORK_FIELDS}
        return fixed | {"level": start.encoding["level"]["level"]}

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """BLEU and chrF of sacrebleu, of what is written against all translations that a source text has.

        At word level both sides are words and signs without case, with spaces between them.
        """
        translator = Translator(model)
        references: dict[str, list[str]] = {}
        for own in read_pairs(source):
            words = split_text(own.target, translator.level)
            references.setdefault(own.source, []).append(joined(words, translator.level))
        if not references:
            raise UsageError(f"{source} has no pairs in it; expected texts and their translations")
        texts = list(references)[: options.most or None]
        written = [str(row["translation"]) for row in translator.predict(texts, options.beam)]
        found = scores.translation_scores(written, [references[text] for text in texts])
        return {**found, "texts": len(texts)}

    def predictor(self, model: ModelFile) -> Translator:
        """The runtime's translator, without PyTorch."""
        return Translator(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """Each symbol of each translation."""
        from backtime.tasks.questions.writing import translations

        return translations(model, source, count)


KIND = TranslateKind()


def batch_of(pairs: list[Record], network: Writer) -> TextBatch:
    """Pairs as padded tensors where the network is."""
    return text_batch(Padded.of([source for source, _ in pairs]), [target for _, target in pairs], network)


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
