"""Captions: an image in, a text out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtime.data.batching.steps import Scale, scale_of, symbols_of
from backtime.data.captions import (
    EXPECTED,
    Captioned,
    Captions,
    Frame,
    frame_of,
    held_out_image,
    read_captioned,
)
from backtime.data.lexicon import Lexicon
from backtime.data.pairs import joined
from backtime.data.written import Record, lexicon_of
from backtime.errors import UsageError
from backtime.fields import described, read
from backtime.models.captioner_config import MOST_BLOCKS, CaptionerConfig
from backtime.models.file import ModelFile
from backtime.runtime.captioner import Captioner
from backtime.tasks import scores
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.writing import NETWORK_FIELDS, Evaluation, WritingSettings, WritingTask, text_batch
from backtime.training.metrics import Metric
from backtime.training.settings import DATA, NETWORK

if TYPE_CHECKING:
    from backtime.insight.decisions import Question
    from backtime.models.writer import TextBatch, Writer

TEXT_FILE = "texts of an idx file's images, one a line (default: its labels)"
ENCODER_FIELDS = ("filters", "blocks")

EXAMPLES = """\
examples:
  backtime train pictures.csv --task caption --attention
  backtime train train-images-idx3-ubyte.gz --task caption --text-file names.txt
  backtime evaluate runs/pictures-gru-1 test.csv
  backtime predict runs/pictures-gru-1 new.png --picture looks.svg"""


@dataclass(frozen=True)
class CaptionSettings(WritingSettings):
    """A run that learns to caption images."""

    text_file: str | None = described(None, TEXT_FILE, group=DATA)
    color: bool = described(False, "read picture files in color, not as grey values", group=DATA)
    validation_fraction: float = described(
        0.05, "share of the images, by their hash, to validate on", group=DATA, least=0, below=1
    )
    attention: bool = described(False, "look at the places of the image at each step", group=NETWORK)
    filters: int = described(
        16, "of the first block; each further one has twice as many", group=NETWORK, least=1
    )
    blocks: int = described(
        3,
        "blocks of convolution, each of which halves the image",
        group=NETWORK,
        least=1,
        below=MOST_BLOCKS + 1,
    )


@dataclass(frozen=True)
class CaptionEvaluation(Evaluation):
    """How captions are written and measured."""

    text_file: str | None = described(None, TEXT_FILE)


class CaptionTask(WritingTask):
    """A captioner and its images, in batches of images whose texts are about as long as each other."""

    name = "caption"
    metrics = (*WritingTask.metrics, Metric("exact", better="max"))

    def length(self, record: Record) -> int:
        """The symbols of the text."""
        return len(record[1])

    def batch(self, records: list[Record]) -> TextBatch:
        """Scaled images and padded texts where the network is."""
        return batch_of(records, self.network, Scale.from_json(self.data.encoding["scale"]))

    def validate(self) -> dict[str, float]:
        """The loss, and the share of texts that are right as a whole, the likeliest symbol at each step."""
        found, right = super().validate(), 0
        for batch in self.measured():
            T = len(batch.outputs)
            same = self.network.written(batch.source, T) == batch.outputs
            there = batch.lengths > batch.lengths.new_tensor(range(T))[:, None]
            right += int((same | ~there).all(0).sum())
        return {**found, "exact": right / len(self.data.held_out)} if found else {}


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
        if source is None:
            raise UsageError(f"--task caption needs DATA: {self.data}")
        every = _kept(_read(source, settings.text_file, settings.color), settings, tell)
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

    def build(self, data: Captions, settings: CaptionSettings, start: ModelFile | None) -> CaptionTask:
        """The captioner that the settings ask for."""
        from backtime.models.captioner import Captioner as Network
        from backtime.models.saving import begun_from
        from backtime.training.devices import on_device

        network = begun_from(start, Network(config_of(data.encoding, settings)))
        return CaptionTask(on_device(network, settings.device), data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network, level, and whether images have colors."""
        fixed = {name: getattr(start.config, name) for name in (*NETWORK_FIELDS, *ENCODER_FIELDS)}
        return fixed | {
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
        for one in _read(source, options.text_file, own.frame.channels != 1):
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


def batch_of(records: list[Record], network: Writer, scale: Scale) -> TextBatch:
    """Scaled images (B, K, R, C) and padded texts where the network is."""
    images = np.stack([image for image, _ in records])
    scaled = ((images - scale.mean) / scale.deviation).transpose(0, 3, 1, 2)
    return text_batch((np.ascontiguousarray(scaled),), [text for _, text in records], network)


def config_of(encoding: dict[str, Any], settings: CaptionSettings) -> CaptionerConfig:
    """The network; raises ``UsageError`` where the images are too small for it."""
    frame = encoding["frame"]
    sizes = {name: frame[name] for name in ("rows", "columns", "channels")}
    sizes |= {name: getattr(settings, name) for name in ENCODER_FIELDS}
    targets = len(Lexicon.from_json(encoding["targets"]))
    return CaptionerConfig(**settings.network(), **sizes, targets=targets)


def _read(source: Path, texts: str | None, color: bool) -> list[Captioned]:
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
