"""Transcription: sound in, text out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.audio import MELS, Floats, Hearing, Utterance, Utterances, read_manifest
from backtime.data.batching.buckets import Buckets
from backtime.data.batching.steps import Scale, scale_of
from backtime.data.lexicon import Lexicon, closed
from backtime.errors import UnknownValueError, UsageError
from backtime.fields import check, described, read
from backtime.models.file import ModelFile
from backtime.models.transcriber_config import MOST_STACK, TranscriberConfig
from backtime.runtime.transcriber import BEAM, Transcriber, best_text
from backtime.tasks import scores
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.network import LAYERS, RecurrentSettings, output_layers
from backtime.training.metrics import Metric
from backtime.training.settings import DATA, LENGTH, NETWORK
from backtime.training.task import Carried, Task

if TYPE_CHECKING:
    import torch

    from backtime.insight.decisions import Question
    from backtime.models.transcriber import Transcriber as Network

Numbers = NDArray[np.int64]
Spoken = tuple[Floats, Numbers]
NETWORK_FIELDS = (*LAYERS, "output_layers", "bidirectional")
MEASURED_AT_ONCE = 32  # utterances

EXAMPLES = """\
examples:
  backtime train train.tsv --task transcribe --valid-file valid.tsv
  backtime evaluate runs/train-lstm-1 test.tsv
  backtime predict runs/train-lstm-1 recording.wav"""


@dataclass(frozen=True)
class TranscribeSettings(RecurrentSettings):
    """A run that learns to transcribe."""

    valid_file: str | None = described(
        None, "manifest to validate on, in place of a share of DATA", group=DATA
    )
    validation_fraction: float = described(
        0.05, "share of the utterances, at their end, to validate on", group=DATA, least=0, below=1
    )
    sample_rate: int = described(
        8000, "samples a second; other sound is brought to it", group=DATA, least=1000, below=192_001
    )
    stack: int = described(2, "frames of 10 ms in a step", group=DATA, least=1, below=MOST_STACK + 1)
    hidden_size: int = described(128, "units a layer and direction", group=NETWORK, least=1)
    layers: int = described(2, "recurrent layers, one above the other", group=NETWORK, least=1)
    output_layers: int = output_layers()
    bidirectional: bool = described(
        True,
        "hear in both directions (default)",
        group=NETWORK,
        off=("--one-direction", "forward alone"),
    )
    dropout: float = described(
        0.2, "share of units dropped: between layers, before the output", group=NETWORK, least=0, below=1
    )
    epochs: int = described(20, "passes through the data", group=LENGTH, least=1)


@dataclass(frozen=True)
class Evaluation:
    """How texts are searched."""

    beam: int = described(BEAM, "beginnings kept side by side", least=1)

    def __post_init__(self) -> None:
        """Check every value."""
        check(self)


class TranscribeTask(Task):
    """A transcriber and its utterances, in batches of utterances about as long as each other."""

    metrics = (Metric("cer"), Metric("loss", "nats an utterance"))

    def __init__(self, network: Network, data: Utterances, settings: TranscribeSettings) -> None:
        """Lay the batches out."""
        self.network, self.data = network, data
        lengths = [len(features) for features, _ in data.training]
        self.buckets = Buckets(lengths, settings.batch_size, settings.seed)
        self.steps_per_epoch = len(self.buckets)

    @property
    def model(self) -> Network:
        """The transcriber."""
        return self.network

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch, nats an utterance."""
        chosen = [self.data.training[n] for n in self.buckets.batch(epoch, step)]
        return self.network.loss(*batch_of(chosen, self.network)), None, len(chosen)

    def validate(self) -> dict[str, float]:
        """The share of wrong characters, of the likeliest text, and the loss."""
        if not self.data.held_out:
            return {}
        characters = Lexicon.from_json(self.data.encoding["characters"])
        return measure(self.network, self.data.held_out, characters)

    def save_model(self, path: Path) -> None:
        """Write the model file."""
        from backtime.models.saving import save_model

        save_model(path, self.network, KIND.name, self.data.encoding)


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
        hearing = Hearing(settings.sample_rate, settings.stack)
        training = list(read_manifest(source, hearing))
        if settings.valid_file is not None:
            held_out = list(read_manifest(Path(settings.valid_file), hearing))
        else:
            border = len(training) - round(len(training) * settings.validation_fraction)
            training, held_out = training[:border], training[border:]
        if not training:
            raise UsageError(f"{source} has no utterance to train on; expected files and texts")
        encoding = encoding or _encoding(training, hearing)
        characters, scale = Lexicon.from_json(encoding["characters"]), Scale.from_json(encoding["scale"])
        own, others = ([_numbered(one, characters, scale) for one in part] for part in (training, held_out))
        return Utterances(own, others, encoding)

    def build(
        self, data: Utterances, settings: TranscribeSettings, start: ModelFile | None
    ) -> TranscribeTask:
        """The transcriber that the settings ask for."""
        from backtime.models.saving import begun_from
        from backtime.models.transcriber import Transcriber as Network
        from backtime.training.devices import on_device

        chosen = {name: getattr(settings, name) for name in (*NETWORK_FIELDS, "dropout")}
        sizes: dict[str, Any] = {"channels": MELS * settings.stack}
        sizes["characters"] = len(Lexicon.from_json(data.encoding["characters"]))
        network = begun_from(start, Network(TranscriberConfig(**chosen, **sizes)))
        return TranscribeTask(on_device(network, settings.device), data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and hearing."""
        hearing: Hearing = read(Hearing, start.encoding["hearing"], "hearing", complete=True)
        fixed = {name: getattr(start.config, name) for name in NETWORK_FIELDS}
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


def batch_of(spoken: list[Spoken], network: Network) -> tuple[torch.Tensor, ...]:
    """Features (T, B, I) padded, their lengths, all texts in a row, and their lengths."""
    import torch

    lengths = [len(features) for features, _ in spoken]
    x = np.zeros((max(lengths), len(spoken), spoken[0][0].shape[1]), np.float32)
    for n, (features, _) in enumerate(spoken):
        x[: lengths[n], n] = features
    texts, sizes = np.concatenate([text for _, text in spoken]), [len(text) for _, text in spoken]
    device = network.head.weight.device
    rows = (x, np.array(lengths), texts, np.array(sizes))
    return tuple(torch.from_numpy(own).to(device) for own in rows)


def measure(network: Network, spoken: list[Spoken], characters: Lexicon) -> dict[str, float]:
    """The share of wrong characters, of the likeliest character at each step, and the loss."""
    import torch

    from backtime.training.devices import measuring

    buckets = Buckets([len(features) for features, _ in spoken], MEASURED_AT_ONCE, shuffle=False)
    right, found, total = [], [], 0.0
    with measuring(network):
        for k in range(len(buckets)):
            chosen = [spoken[n] for n in buckets.batch(0, k)]
            batch = batch_of(chosen, network)
            total += network.loss(*batch).item() * len(chosen)
            logs = torch.log_softmax(network(*batch[:2]), 2).numpy(force=True)
            for n, (features, text) in enumerate(chosen):
                right.append(_text(text, characters))
                best, _ = best_text(logs[: len(features), n], 1)
                found.append(_text(best, characters))
    return {"cer": scores.transcript_scores(right, found)["cer"], "loss": total / len(spoken)}


def _text(numbers: Any, characters: Lexicon) -> str:
    return "".join(characters.symbols[n - 1] for n in numbers)


def _encoding(training: list[Utterance], hearing: Hearing) -> dict[str, Any]:
    characters = closed("character", (c for own in training for c in own.text))
    scale = scale_of([own.features for own in training])
    return {"characters": characters.to_json(), "scale": scale.to_json(), "hearing": asdict(hearing)}


def _numbered(own: Utterance, characters: Lexicon, scale: Scale) -> Spoken:
    try:
        numbers = characters.numbers(own.text)
    except UnknownValueError as error:
        raise UnknownValueError(f"{own.name}: {error}") from error
    return (own.features - scale.mean) / scale.deviation, np.array(numbers, np.int64) + 1
