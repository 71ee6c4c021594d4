"""Translation to the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtime.data.pairs import joined, read_pairs, split_text
from backtime.errors import UsageError
from backtime.models.encoder_decoder_config import EncoderDecoderConfig
from backtime.models.file import ModelFile
from backtime.runtime.translator import Translator
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.shared import scores
from backtime.tasks.shared.network_task import begun
from backtime.tasks.shared.writing import Evaluation
from backtime.tasks.translate.data import Pairs, read_numbered
from backtime.tasks.translate.settings import TranslateSettings
from backtime.tasks.translate.task import TranslateTask
from backtime.training.metrics import Metric

if TYPE_CHECKING:
    from backtime.insight.decisions import Question

EXAMPLES = """\
examples:
  backtime train fra-eng.txt --task translate --attention
  backtime train english.txt --task translate --target-file french.txt
  backtime evaluate runs/fra-eng-gru-1 test.tsv
  backtime predict runs/fra-eng-gru-1 new.txt --picture attention.svg"""


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
        return read_numbered(self.required(source), settings, encoding, tell)

    def build(self, data: Pairs, settings: TranslateSettings, start: ModelFile | None) -> TranslateTask:
        """The encoder-decoder that the settings ask for."""
        from backtime.models.encoder_decoder import EncoderDecoder

        sizes: dict[str, Any] = {"sources": len(data.sources), "targets": len(data.targets)}
        network = begun(EncoderDecoder(EncoderDecoderConfig(**settings.network(), **sizes)), start, settings)
        return TranslateTask(network, data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and level."""
        fixed = self.settings.network_of(start)
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
