"""Comparing texts to the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtime.data.lexicon import Lexicon
from backtime.data.pair_parts import read_all, read_parts
from backtime.data.scored_pairs import PairReading, ScoredPair, reading_of, target_of
from backtime.data.similar import NumberedPairs, Similar, count_symbols
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.similarity_config import SimilarityConfig
from backtime.runtime.similarity import Similarity
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.shared import scores
from backtime.tasks.shared.network_task import begun
from backtime.tasks.similar.measuring import METRICS, measure
from backtime.tasks.similar.settings import Evaluation, SimilarSettings
from backtime.tasks.similar.task import SimilarTask
from backtime.training.metrics import Metric

if TYPE_CHECKING:
    from backtime.insight.decisions import Question

EXAMPLES = """\
examples:
  backtime train paraphrases.tsv --task similar --bidirectional
  backtime train questions.tsv --task similar --third-column label --level char
  backtime evaluate runs/paraphrases-lstm-1 test.tsv
  backtime predict runs/paraphrases-lstm-1 new.tsv
  backtime predict runs/paraphrases-lstm-1 sentences.txt --query 'Where is the station?' --top 10"""


class SimilarKind(TaskKind):
    """Comparing texts."""

    name, settings, evaluation = "similar", SimilarSettings, Evaluation
    data = "TSV file with two texts in each line and, if they are more or less alike, a score or a label"
    examples = EXAMPLES

    def metrics(self, settings: SimilarSettings) -> tuple[Metric, ...]:
        """By the third column; where the file itself says what it is, the task knows more."""
        return METRICS["pairs" if settings.third_column == "ignore" else settings.third_column]

    def prepare(
        self,
        source: Path | None,
        settings: SimilarSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Similar:
        """All pairs, in memory."""
        scores.check_installed("scipy")
        source = self.required(source)
        pairs = read_all(source)
        if encoding is None:
            target = target_of(pairs, settings.third_column)
        else:
            target = PairReading.from_json(encoding["reading"]).target
        valid = Path(settings.valid_file) if settings.valid_file else None
        training, held_out = read_parts(pairs, valid, settings.validation_fraction, settings.seed)
        _check_enough(training, target, settings, source)
        if round(len(pairs) * settings.validation_fraction) and not held_out:
            tell("nothing is validated on: the pairs hang together by their texts; --valid-file names others")
        if encoding is None:
            reading = reading_of(training, settings.level, target)
            symbols = count_symbols(training, settings.level, settings.min_count)
        else:
            reading = PairReading.from_json(encoding["reading"])
            symbols = Lexicon.from_json(encoding["symbols"])
        own, others = (NumberedPairs.of(part, symbols, reading) for part in (training, held_out))
        return Similar(own, others, symbols, reading)

    def build(self, data: Similar, settings: SimilarSettings, start: ModelFile | None) -> SimilarTask:
        """The network that the settings ask for."""
        from backtime.models.similarity import Similarity as Network

        sizes: dict[str, Any] = {"symbols": len(data.symbols), "target": data.reading.target}
        network = begun(
            Network(SimilarityConfig(**settings.network(), **sizes, temperature=settings.temperature)),
            start,
            settings,
        )
        return SimilarTask(network, data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and reading."""
        reading = PairReading.from_json(start.encoding["reading"])
        column = "ignore" if reading.target == "pairs" else reading.target
        fixed = self.settings.network_of(start)
        return fixed | {"level": reading.level, "third_column": column}

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """Recall of pairs, Spearman's correlation of scores, accuracy of labels; the loss, and the sizes.

        The loss is told where the pairs are such as the model was trained on.
        """
        from backtime.models.saving import build_model

        symbols = Lexicon.from_json(model.encoding["symbols"])
        trained = PairReading.from_json(model.encoding["reading"])
        pairs, column = read_all(source), options.third_column
        if column == "auto":
            column = "ignore" if trained.target == "pairs" else trained.target
        target = target_of(pairs, column)
        if target == "label" != trained.target:
            raise UsageError(f"--third-column label: the model has learned from {trained.target}, not labels")
        reading = trained if target == trained.target else PairReading(trained.level, target)
        numbered = NumberedPairs.of(pairs, symbols, reading)
        found = measure(build_model(model), numbered, target, options.batch_size)
        if target != trained.target:
            del found["loss"]
        return found | {"pairs": len(numbered), "texts": len(numbered.records)}

    def predictor(self, model: ModelFile) -> Similarity:
        """The runtime's comparison of texts, without PyTorch."""
        return Similarity(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """The cosine of each pair."""
        from backtime.tasks.questions.pairs import cosines

        return cosines(model, source, count)


KIND = SimilarKind()


def _check_enough(training: list[ScoredPair], target: str, settings: SimilarSettings, source: Path) -> None:
    if target != "pairs":
        return
    if settings.batch_size < 2:
        raise UsageError("--batch-size is 1; pairs without a score learn from the others of their batch")
    if len(training) < 2:
        raise UsageError(f"{source} has one pair to train on; expected two and more without a score or label")
