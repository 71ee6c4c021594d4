"""A trained network of piano rolls in use: how likely pieces are, and new ones. No PyTorch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import backtime.runtime.piano_notes as piano_notes
from backtime.data.midi import write_midi
from backtime.data.pianoroll import Roll, note_name, read_parts
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.piano_config import PianoConfig
from backtime.reference.weights import Array
from backtime.runtime.groups import Grouped, longest_first, stepped
from backtime.runtime.predictor import Prepared, Row
from backtime.runtime.stacks import stack_of


class Piano(Grouped):
    """Reads frames one after the other; ``sample`` draws new ones."""

    json_records, file_endings = "lists of frames, each a list of notes", (".mid", ".midi")

    def __init__(self, model: ModelFile, backend: str = "auto") -> None:
        """Prepare the weights for stepping."""
        if not isinstance(model.config, PianoConfig):
            raise UsageError(f"a model for the task {model.task!r}; expected one of piano rolls")
        self.config: PianoConfig = model.config
        self.frames_per_beat = int(model.encoding["roll"]["frames_per_beat"])
        self.stack = stack_of(self.config, model.tensors, "rnn", backend=backend)
        self.dtype = model.tensors["head.bias"].dtype

    def read(self, source: Path | None) -> Iterator[Roll]:
        """The pieces of a file or a folder, one after the other."""
        if source is None:
            raise UsageError("predict needs a FILE: piano rolls and MIDI files are not read from a pipe")
        for rolls in read_parts(source, self.frames_per_beat).values():
            yield from rolls

    def from_json(self, values: list[Any]) -> list[Roll]:
        """Lists of frames, each a list of notes."""
        return piano_notes.rolls(values)

    def prepare(self, record: Roll, number: int) -> Prepared:
        """A piece as it is."""
        return Prepared(record, len(record.frames) + 1)

    def answers(self, values: Sequence[Roll]) -> list[list[Row]]:
        """For each piece its frames, how likely they are, and the keys that are likelier than not to follow.

        ``nll`` is the mean negative log-likelihood of a frame after the first, in nats; None where there is
        none.
        """
        read = self._read([piece.frames for piece in values])
        return [[_scored(piece, logits)] for piece, logits in zip(values, read, strict=True)]

    def sample(
        self,
        length: int = 64,
        start: str = "",
        start_frames: int = 8,
        temperature: float = 1.0,
        tempo: float = 100.0,
        seed: int = 0,
        out: str = "",
    ) -> Iterator[str]:
        """New frames as lines of note names; when all are drawn they are written to the MIDI file ``out``.

        Each key is drawn for itself with p = sigmoid(z / temperature); 0 takes what is likelier than not. The
        music goes on from the first ``start_frames`` frames of the piece in ``start``, else from silence.
        Raises ``UsageError``, at once, naming the argument that does not fit.
        """
        _check(length, temperature, tempo, seed, out)
        begun = self._start(start, start_frames)
        return self._frames(length, begun, temperature, tempo, seed, out)

    def _frames(
        self, length: int, begun: Array, temperature: float, tempo: float, seed: int, out: str
    ) -> Iterator[str]:
        stream, made = self.stack.stream(), [*begun]
        for frame in [np.zeros(self.config.keys, self.dtype), *begun]:
            logits = stream.step(frame[None])[0].astype(np.float64)
        draw = np.random.Generator(np.random.PCG64(seed))
        for _ in range(length):
            made.append(_drawn(logits, temperature, draw).astype(self.dtype))
            keys = np.flatnonzero(made[-1]).tolist()
            yield " ".join(map(note_name, keys)) + "\n"
            logits = stream.step(made[-1][None])[0].astype(np.float64)
        if out:
            write_midi(Path(out), np.array(made, np.float32), self.frames_per_beat, tempo)

    def _read(self, pieces: Sequence[Array]) -> list[NDArray[np.float64]]:
        """Logits (T + 1, K) of each piece: what may come first, and after each frame."""
        first = np.zeros((1, self.config.keys), self.dtype)
        rows = [np.concatenate([first, frames.astype(self.dtype)]) for frames in pieces]
        records, places = longest_first(rows, [len(own) for own in rows])
        read, _ = stepped(self.stack, records)
        logits = [read[place].astype(np.float64) for place in places]
        if not all(np.isfinite(own).all() for own in logits):
            raise UsageError("the model's outputs are not finite numbers; its training has diverged")
        return logits

    def _start(self, start: str, frames: int) -> Array:
        if not start:
            return np.zeros((0, self.config.keys), self.dtype)
        if frames < 1:
            raise UsageError(f"start_frames is {frames}; expected 1 or more")
        first = next(iter(self.read(Path(start))))
        return first.frames[:frames].astype(self.dtype)


def _scored(piece: Roll, logits: Array) -> Row:
    losses = np.logaddexp(0, logits[:-1]) - logits[:-1] * piece.frames
    nll = float(losses[1:].sum() / (len(losses) - 1)) if len(losses) > 1 else None
    following = [note_name(key) for key in np.flatnonzero(logits[-1] > 0).tolist()]
    return {"piece": piece.name, "frames": len(piece.frames), "nll": nll, "next": following}


def _drawn(logits: Array, temperature: float, draw: np.random.Generator) -> Any:
    if not np.isfinite(logits).all():
        raise UsageError("the model's outputs are not finite numbers; its training has diverged")
    if temperature == 0:
        return logits > 0
    with np.errstate(over="ignore"):  # e^1000 is infinity, and 1 / infinity the right answer
        return draw.random(logits.size) < 1 / (1 + np.exp(-logits / temperature))


def _check(length: int, temperature: float, tempo: float, seed: int, out: str) -> None:
    for name, value, least in (("length", length, 0), ("temperature", temperature, 0), ("seed", seed, 0)):
        if not least <= value < float("inf"):
            raise UsageError(f"{name} is {value}; expected a number from {least}")
    if not 4 <= tempo <= 1000:  # MIDI keeps the microseconds of a beat in 24 bits
        raise UsageError(f"tempo is {tempo}; expected 4 to 1000 beats a minute")
    if out and (Path(out).suffix.lower() not in (".mid", ".midi") or not Path(out).parent.is_dir()):
        raise UsageError(f"--out {out}: expected a name that ends in .mid, in a folder that is there")
