"""Captions to the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtime.data.batching.steps import symbols_of
from backtime.data.captions import Captioned, Captions
from backtime.data.pairs import joined
from backtime.models.file import ModelFile
from backtime.runtime.captioner import Captioner
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.caption.data import read_captions, read_texted
from backtime.tasks.caption.settings import CaptionEvaluation, CaptionSettings, config_of
from backtime.tasks.caption.task import CaptionTask
from backtime.tasks.shared import scores
from backtime.tasks.shared.network_task import begun
from backtime.training.metrics import Metric

if TYPE_CHECKING:
    from backtime.insight.decisions import Question

EXAMPLES = """\
examples:
  backtime train pictures.csv --task caption --attention
  backtime train train-images-idx3-ubyte.gz --task caption --text-file names.txt
  backtime evaluate runs/pictures-gru-1 test.csv
  backtime predict runs/pictures-gru-1 new.png --picture looks.svg"""


class CaptionKind(TaskKind):
    """Captions."""

    name, settings, evaluation = "caption", CaptionSettings, CaptionEvaluation
    data = "images and texts: a CSV, TSV or JSON lines table of file and text, idx or .npz"
    examples = EXAMPLES

    def metrics(self, settings: CaptionSettings) -> tuple[Metric, ...]:
        """The loss decides; of long texts hardly one is right as a whole."""
        return CaptionTask.metrics

    def prepare(
        self,
        source: Path | None,
        settings: CaptionSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Captions:
        """All images, in memory; those with a text that is too long are left out, and counted."""
        scores.check_installed("sacrebleu")
        return read_captions(self.required(source), settings, encoding, tell)

    def build(self, data: Captions, settings: CaptionSettings, start: ModelFile | None) -> CaptionTask:
        """The captioner that the settings ask for."""
        from backtime.models.captioner import Captioner as Network

        network = begun(Network(config_of(data.encoding, settings)), start, settings)
        return CaptionTask(network, data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network, level, and whether images have colors."""
        return self.settings.network_of(start) | {
            "level": start.encoding["level"]["level"],
            "color": start.encoding["frame"]["channels"] != 1,
        }

    def evaluate(self, model: ModelFile, source: Path, options: CaptionEvaluation, folder: Path) -> Scores:
        """The share of images with a right text; BLEU and chrF of sacrebleu against all texts of an image.

        Texts are compared as the model writes them: at word level words and signs without case.
        """
        own = Captioner(model)
        images: dict[str, Captioned] = {}
        right: dict[str, list[str]] = {}
        for one in read_texted(source, options.text_file, own.frame.channels != 1):
            images.setdefault(one.name, one)
            right.setdefault(one.name, []).append(joined(symbols_of(one.text, own.level), own.level))
        names = list(images)[: options.most or None]
        written = [str(row["text"]) for row in own.predict((images[name] for name in names), options.beam)]
        references = [right[name] for name in names]
        exact = sum(text in known for text, known in zip(written, references, strict=True)) / len(names)
        found = scores.translation_scores(written, references, scores.ngrams_of(references))
        return {"exact": exact, **found, "images": len(names)}

    def predictor(self, model: ModelFile) -> Captioner:
        """The runtime's captioner, without PyTorch."""
        return Captioner(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """Each symbol of the text of each image."""
        from backtime.tasks.questions.writing import captions

        return captions(model, source, count)


KIND = CaptionKind()
