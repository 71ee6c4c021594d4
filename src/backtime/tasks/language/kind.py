"""Language modelling to the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backtime.data.text.parts import Files, Symbols, Text, read_parts
from backtime.data.text.symbols import SIZED
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError
from backtime.models.config import PLACES, LanguageConfig
from backtime.models.file import ModelFile
from backtime.runtime.model import Model
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.language.measuring import measure, metrics_of
from backtime.tasks.language.presets import PRESETS
from backtime.tasks.language.settings import Evaluation, LanguageSettings, Sampling
from backtime.tasks.language.task import LanguageTask
from backtime.tasks.shared.network_task import begun
from backtime.tasks.shared.recurrence import check_start, fixed_recurrence
from backtime.training.metrics import Metric

EXAMPLES = """\
examples:
  backtime train                                     the default corpus and network
  backtime train book.txt --preset demo              a small model in about four minutes
  backtime train book.txt --cell gru --hidden-size 512 --dropout 0.3 --minutes 60
  backtime train --train-file train.txt --valid-file valid.txt --test-file test.txt --preset zaremba-small
  backtime train --resume runs/book-gru-1 --epochs 30"""


class LanguageKind(TaskKind):
    """Language modelling."""

    name = "language"
    settings, evaluation, sampling = LanguageSettings, Evaluation, Sampling
    presets, examples = PRESETS, EXAMPLES
    data, default_data = "text file or folder (default: the sources of Python's standard library)", "python"

    def metrics(self, settings: LanguageSettings) -> tuple[Metric, ...]:
        """The loss alone; people read it in bits, or as perplexity."""
        return metrics_of(settings)

    def prepare(
        self,
        source: Path | None,
        settings: LanguageSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Text:
        """The text as numbers, in ``tokens.bin`` of the folder; of a lost text those that are there."""
        if settings.train_file and source:
            raise UsageError(f"--train-file {settings.train_file} beside DATA {source}; expected one of them")
        known = None if encoding is None else Vocabulary.from_json(encoding.get("vocabulary"))
        files = Files(settings.train_file or source, settings.valid_file, settings.test_file)
        symbols = Symbols(settings.level, settings.vocabulary_size, settings.special)
        return read_parts(files, folder, symbols, known, tell)

    def build(self, data: Text, settings: LanguageSettings, start: ModelFile | None) -> LanguageTask:
        """The language model that the settings ask for."""
        from backtime.models.aligned import LanguageModel

        check_start(settings, start)
        model = begun(LanguageModel(_config(settings, len(data.vocabulary))), start, settings)
        return LanguageTask(model, data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network, level and vocabulary."""
        vocabulary = Vocabulary.from_json(start.encoding["vocabulary"])
        fixed = self.settings.network_of(start) | {"level": vocabulary.level}
        fixed |= fixed_recurrence(start)
        if vocabulary.level in SIZED:
            fixed["vocabulary_size"] = len(vocabulary)
        return fixed | dict(zip(("unk_token", "eos_token"), vocabulary.special, strict=True))

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """Scores of the model on a text, every token but the first counted once.

        - ``loss``: nats a token; ``perplexity``: its exponential
        - ``bits_per_character``; at the other levels also ``bits_per_byte``, ``bits_per_word`` or
          ``bits_per_subword``, a token's share. The first is that times tokens and divided by characters of
          the text.
        - ``tokens`` and ``characters`` of the text; at word level the share of ``unknown`` words. A model
          knows of such a word only that it is one, so that many of them make every other number too good;
          a ``DataWarning`` says so from a tenth on
        - at subword level ``perplexity_per_word``: the probability of the same text, for each of its
          ``words``, ends of lines among them, as a model of words counts them

        ``batch_size`` streams are read side by side, each from a zero state; 1 reads the text as one.
        """
        return measure(model, source, options, folder)

    def predictor(self, model: ModelFile) -> Model:
        """The runtime's model: it scores lines of text and writes text, without PyTorch."""
        return Model(model)


KIND = LanguageKind()


def _config(settings: LanguageSettings, vocabulary_size: int) -> LanguageConfig:
    places = {name: getattr(settings, name) for name in PLACES}
    recurs = settings.recurrence == "output"
    return LanguageConfig(
        vocabulary_size=vocabulary_size, output_recurrence=recurs, **settings.network(), **places
    )
