"""Transcription to the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtime.data.audio import MELS, Hearing, Utterances, read_manifest
from backtime.data.lexicon import Lexicon
from backtime.errors import UsageError
from backtime.fields import read
from backtime.models.file import ModelFile
from backtime.models.transcriber_config import TranscriberConfig
from backtime.runtime.transcriber import Transcriber
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.shared import scores
from backtime.tasks.shared.network_task import begun
from backtime.tasks.transcribe.data import read_utterances
from backtime.tasks.transcribe.settings import Evaluation, TranscribeSettings
from backtime.tasks.transcribe.task import TranscribeTask
from backtime.training.metrics import Metric

if TYPE_CHECKING:
    from backtime.insight.decisions import Question

EXAMPLES = """\
examples:
  backtime train train.tsv --task transcribe --valid-file valid.tsv
  backtime evaluate runs/train-lstm-1 test.tsv
  backtime predict runs/train-lstm-1 recording.wav"""


class TranscribeKind(TaskKind):
    """Transcription."""

    name, settings, evaluation = "transcribe", TranscribeSettings, Evaluation
    data = "CSV or TSV file with the columns file and text, wav files beside it"
    examples = EXAMPLES

    def metrics(self, settings: TranscribeSettings) -> tuple[Metric, ...]:
        """Character errors decide."""
        return TranscribeTask.metrics

    def prepare(
        self,
        source: Path | None,
        settings: TranscribeSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Utterances:
        """All utterances, in memory."""
        scores.check_installed("jiwer")
        return read_utterances(source, settings, encoding)

    def build(
        self, data: Utterances, settings: TranscribeSettings, start: ModelFile | None
    ) -> TranscribeTask:
        """The transcriber that the settings ask for."""
        from backtime.models.transcriber import Transcriber as Network

        sizes: dict[str, Any] = {"channels": MELS * settings.stack}
        sizes["characters"] = len(Lexicon.from_json(data.encoding["characters"]))
        network = begun(Network(TranscriberConfig(**settings.network(), **sizes)), start, settings)
        return TranscribeTask(network, data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and hearing."""
        hearing: Hearing = read(Hearing, start.encoding["hearing"], "hearing", complete=True)
        fixed = self.settings.network_of(start)
        return fixed | {"sample_rate": hearing.rate, "stack": hearing.stack}

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """Word and character error rate of the likeliest texts, and the share that is right as a whole."""
        own = Transcriber(model)
        every = list(read_manifest(source, own.hearing))
        if not every:
            raise UsageError(f"{source} has no utterance in it; expected files and texts")
        found = [own.transcribe(one.features, options.beam)[0] for one in every]
        right = [one.text for one in every]
        exact = sum(a == b for a, b in zip(right, found, strict=True)) / len(right)
        return {**scores.transcript_scores(right, found), "exact": exact, "utterances": len(right)}

    def predictor(self, model: ModelFile) -> Transcriber:
        """The runtime's transcriber, without PyTorch."""
        return Transcriber(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """Each character of each transcript."""
        from backtime.tasks.questions.sound import characters

        return characters(model, source, count)


KIND = TranscribeKind()
