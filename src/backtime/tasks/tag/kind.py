"""Tagging to the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtime.data.columns import Places, read_tagged
from backtime.data.tagged import (
    PARTS,
    Tagged,
    count_lexicons,
    has_entities,
    read_lexicons,
    read_parts,
    tag_numbers,
)
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.tagger_config import TaggerConfig
from backtime.runtime.tagger import Tagger
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.shared import scores
from backtime.tasks.shared.network_task import begun
from backtime.tasks.tag.measuring import measure
from backtime.tasks.tag.settings import Evaluation, TagSettings
from backtime.tasks.tag.task import TagTask, metrics_of
from backtime.training.metrics import Metric

if TYPE_CHECKING:
    from backtime.insight.decisions import Question

EXAMPLES = """\
examples:
  backtime train en_ewt-ud-train.conllu --task tag --valid-file en_ewt-ud-dev.conllu
  backtime train snips/train --task tag --valid-file snips/valid --crf --metric f1
  backtime predict runs/train-lstm-1 sentences.txt"""


class TagKind(TaskKind):
    """Tagging words."""

    name, settings, evaluation = "tag", TagSettings, Evaluation
    data = "columns (a word and its tag a line), CoNLL-U, or a folder with seq.in and seq.out"
    examples = EXAMPLES

    def metrics(self, settings: TagSettings) -> tuple[Metric, ...]:
        """The one that was chosen, the share of right tags, the loss."""
        return metrics_of(settings)

    def prepare(
        self,
        source: Path | None,
        settings: TagSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Tagged:
        """All sentences, in memory."""
        scores.check_installed()
        columns = Places(settings.word_column, settings.tag_column)
        valid = Path(settings.valid_file) if settings.valid_file else None
        training, held_out = read_parts(self.required(source), valid, settings.validation_fraction, columns)
        lexicons = (
            count_lexicons(training, settings.min_count) if encoding is None else read_lexicons(encoding)
        )
        for sentence in [*training, *held_out]:
            tag_numbers(sentence, lexicons)
        if settings.metric == "f1" and not has_entities(lexicons["tags"]):
            raise UsageError("--metric f1 needs tags of entities, B-X I-X O; try --metric accuracy")
        return Tagged(training, held_out, lexicons, columns)

    def build(self, data: Tagged, settings: TagSettings, start: ModelFile | None) -> TagTask:
        """The tagger that the settings ask for."""
        from backtime.models.tagger import Tagger as Network

        sizes: dict[str, Any] = {name: len(data.lexicons[name]) for name in PARTS}
        network = begun(Network(TaggerConfig(**settings.network(), **sizes)), start, settings)
        return TagTask(network, data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """The network."""
        return self.settings.network_of(start)

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """Accuracy, loss in nats a word, with entities their precision, recall and F1, and the sizes."""
        from backtime.models.saving import build_model

        sentences = list(read_tagged(source, Places(**model.encoding["columns"])))
        if not sentences:
            raise UsageError(f"{source} has no sentences; expected tagged words")
        return measure(build_model(model), sentences, read_lexicons(model.encoding), options.batch_size)

    def predictor(self, model: ModelFile) -> Tagger:
        """The runtime's tagger, without PyTorch."""
        return Tagger(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """The tag of the least sure word of each sentence."""
        from backtime.tasks.questions.words import tags

        return tags(model, source, count)


KIND = TagKind()
