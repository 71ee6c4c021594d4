"""Music: from the frames of a piece so far, which keys sound in the next one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtime.data.batching.buckets import Buckets, pack
from backtime.data.pianoroll import EXPECTED, KEYS, PARTS, Roll, read_parts
from backtime.errors import UsageError, shown
from backtime.fields import check, described
from backtime.models.config import MOST_LAYERS
from backtime.models.file import ModelFile
from backtime.models.piano_config import PianoConfig
from backtime.runtime.piano import Piano
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.network import LAYERS, RecurrentSettings, output_layers
from backtime.training.metrics import Metric
from backtime.training.settings import DATA, NETWORK, STEPS
from backtime.training.task import Carried, Task

if TYPE_CHECKING:
    import torch

    from backtime.insight.decisions import Question
    from backtime.models.piano import Piano as Network

NETWORK_FIELDS = (*LAYERS, "output_layers")
MEASURED = 64  # pieces at once in a validation

EXAMPLES = """\
examples:
  backtime train chorales/ --task music --frames-per-beat 4
  backtime train JSB_Chorales.mat --task music --dropout 0.3 --frames-per-beat 1
  backtime sample runs/chorales-lstm-1 --length 128 --out new.mid"""


@dataclass(frozen=True)
class MusicSettings(RecurrentSettings):
    """A run that learns music."""

    hidden_size: int = described(128, "units a layer", group=NETWORK, least=1)
    output_layers: int = output_layers()
    layers: int = described(
        1, "recurrent layers, one above the other", group=NETWORK, least=1, below=MOST_LAYERS + 1
    )
    batch_size: int = described(8, "pieces read side by side", group=STEPS, least=1)
    seq_length: int = described(256, "frames that a longer piece is cut into", group=STEPS, least=2)
    frames_per_beat: int = described(
        4, "frames of a quarter note, in MIDI files read and written", group=DATA, least=1
    )
    validation_fraction: float = described(
        0.1, "share of the pieces to validate on, where the data have no valid part", group=DATA, least=0,
        below=1,
    )  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """Which pieces ``backtime evaluate`` measures."""

    part: str = described("test", "of data in parts, which", choices=PARTS)

    def __post_init__(self) -> None:
        """Check every value."""
        check(self)


@dataclass(frozen=True)
class Sampling:
    """How music is drawn; see ``backtime.runtime.piano.Piano.sample``, which checks it."""

    out: str = described("", "MIDI file to write")
    length: int = described(64, "frames to draw")
    start: str = described("", "piece to go on from (default: silence)")
    start_frames: int = described(8, "frames of it")
    temperature: float = described(1.0, "below 1 bolder, above 1 wilder; 0 draws nothing", group="drawing")
    tempo: float = described(100.0, "beats a minute", group="drawing")
    seed: int = described(0, "same seed, same music", group="drawing")


@dataclass(frozen=True)
class Pieces:
    """The data: pieces to train on and pieces to validate on."""

    training: list[Roll]
    held_out: list[Roll]
    frames_per_beat: int

    @property
    def fingerprint(self) -> str:
        """Of the frames, in their order."""
        digest = hashlib.blake2b(repr([len(self.training), self.frames_per_beat]).encode())
        for piece in (*self.training, *self.held_out):
            digest.update(repr(piece.frames.shape).encode() + np.packbits(piece.frames > 0).tobytes())
        return digest.hexdigest()

    @property
    def encoding(self) -> dict[str, Any]:
        """How many keys a frame has, and how long it lasts."""
        return {"roll": {"keys": KEYS, "frames_per_beat": self.frames_per_beat}}

    def describe(self) -> str:
        """Pieces and frames."""
        frames = sum(len(piece.frames) for piece in self.training)
        return f"{len(self.training):,} pieces of {frames:,} frames, {len(self.held_out):,} to validate on"


class MusicTask(Task):
    """Batches of pieces of nearly equal length, as packed rows."""

    metrics = (Metric("loss", "nats a frame"),)

    def __init__(self, model: Network, data: Pieces, settings: MusicSettings) -> None:
        """Cut what is longer than ``seq_length``."""
        self.network, self.data = model, data
        self.pieces = [part for piece in data.training for part in cut(piece, settings.seq_length)]
        self.buckets = Buckets([len(x) for x, _ in self.pieces], settings.batch_size, settings.seed)
        self.steps_per_epoch = len(self.buckets)

    @property
    def model(self) -> Network:
        """The network."""
        return self.network

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean negative log-likelihood of a batch, nats a frame."""
        losses, _ = frame_losses(self.network, [self.pieces[n] for n in self.buckets.batch(epoch, step)])
        return losses.mean(), None, len(losses)

    def validate(self) -> dict[str, float]:
        """Mean negative log-likelihood of the validation pieces, nats a frame, each read to its end."""
        if not self.data.held_out:
            return {}
        total, _, frames, _ = measure(self.network, self.data.held_out)
        return {"loss": total / frames}

    def save_model(self, path: Path) -> None:
        """Write the model file."""
        from backtime.models.saving import save_model

        save_model(path, self.network, KIND.name, self.data.encoding)


class MusicKind(TaskKind):
    """Music."""

    name = "music"
    settings, evaluation, sampling = MusicSettings, Evaluation, Sampling
    examples = EXAMPLES
    data = EXPECTED

    def metrics(self, settings: MusicSettings) -> tuple[Metric, ...]:
        """The negative log-likelihood of a frame."""
        return MusicTask.metrics

    def prepare(
        self,
        source: Path | None,
        settings: MusicSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Pieces:
        """The pieces; without a part to validate on the last ones are set aside."""
        source = self.required(source)
        frames = _frames_per_beat(encoding) if encoding else settings.frames_per_beat
        parts = read_parts(source, frames)
        training, held_out = parts.get("train") or parts.get(""), parts.get("valid")
        if not training:
            raise UsageError(f"{source} has the part {', '.join(parts)} alone; expected train")
        if held_out is None and settings.validation_fraction:
            border = len(training) - max(1, round(len(training) * settings.validation_fraction))
            if border < 1:
                raise UsageError(
                    f"{source} has {len(training)} piece; expected 2 or more, one to validate on, or "
                    "--validation-fraction 0"
                )
            training, held_out = training[:border], training[border:]
        return Pieces(training, held_out or [], frames)

    def build(self, data: Pieces, settings: MusicSettings, start: ModelFile | None) -> MusicTask:
        """The network that the settings ask for."""
        from backtime.models.piano import Piano
        from backtime.models.saving import begun_from
        from backtime.training.devices import on_device

        chosen = {name: getattr(settings, name) for name in (*NETWORK_FIELDS, "dropout")}
        model = begun_from(start, Piano(PianoConfig(keys=KEYS, **chosen)))
        return MusicTask(on_device(model, settings.device), data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and length of a frame."""
        fixed = {name: getattr(start.config, name) for name in NETWORK_FIELDS}
        return fixed | {"frames_per_beat": start.encoding["roll"]["frames_per_beat"]}

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """How likely pieces are to the model.

        - ``nll``: mean negative log-likelihood of a frame after the first of its piece, in nats; papers
          state this one
        - ``nll_with_first``: of all frames, the first one after silence
        - ``pieces`` and ``frames``
        """
        from backtime.models.saving import build_model

        parts = read_parts(source, model.encoding["roll"]["frames_per_beat"])
        pieces = parts.get("") or parts.get(options.part)
        if not pieces:
            raise UsageError(f"{source} has no part {options.part}; it has {', '.join(parts)}")
        total, later, frames, count = measure(build_model(model), pieces)
        if not math.isfinite(total):
            raise UsageError("the model's outputs are not finite numbers; its training has diverged")
        scores: Scores = {"nll": later / count} if count else {}
        return scores | {"nll_with_first": total / frames, "pieces": len(pieces), "frames": frames}

    def predictor(self, model: ModelFile) -> Piano:
        """The runtime's network, without PyTorch."""
        return Piano(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """The likeliest key after each piece."""
        from backtime.tasks.questions.pieces import next_keys

        return next_keys(model, source, count)


KIND = MusicKind()
Example = tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.float32]]]


def cut(piece: Roll, length: int) -> list[Example]:
    """Input and target frames, each (T, K): at each step the frame before, at first silence."""
    before = np.concatenate([np.zeros_like(piece.frames[:1]), piece.frames[:-1]])
    starts = range(0, len(before), length)
    return [(before[at : at + length], piece.frames[at : at + length]) for at in starts]


def _frames_per_beat(encoding: dict[str, Any]) -> int:
    match encoding["roll"]:
        case {"frames_per_beat": int(frames)} if frames > 0:
            return frames
    raise UsageError(f"the roll is {shown(encoding['roll'])}; expected frames_per_beat")


def frame_losses(model: Network, examples: list[Example]) -> tuple[torch.Tensor, int]:
    """The loss (R,) of each frame, and how many of the rows, the first ones, are a first frame."""
    import torch

    from backtime.training.devices import tensors

    packed = pack([np.stack(example, 1) for example in examples])
    rows = np.ascontiguousarray(packed.rows.swapaxes(0, 1), np.float32)
    x, targets = tensors((rows[0], rows[1]), model)
    sizes = torch.from_numpy(packed.batch_sizes)
    return model.losses(x, sizes, targets), int(packed.batch_sizes[0])


def measure(model: Network, pieces: list[Roll]) -> tuple[float, float, int, int]:
    """The loss summed over all frames, and over those after the first; the number of each."""
    from backtime.training.devices import measuring

    buckets = Buckets([len(piece.frames) for piece in pieces], MEASURED, shuffle=False)
    total = later = 0.0
    frames = sum(len(piece.frames) for piece in pieces)
    with measuring(model):
        for k in range(len(buckets)):
            chosen = [pieces[n] for n in buckets.batch(0, k)]
            losses, first = frame_losses(model, [cut(one, len(one.frames))[0] for one in chosen])
            total += losses.double().sum().item()
            later += losses[first:].double().sum().item()
    return total, later, frames, frames - len(pieces)
