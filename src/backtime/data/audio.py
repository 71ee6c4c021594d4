"""Sound and what is said in it: wav files, a manifest, and log-mel features.

A frame is 25 ms of sound under a Hann window, a new one every 10 ms. Of its power spectrum 40 triangles,
equally wide on the mel scale m = 2595 log10(1 + f / 700) from 0 to half the rate, make 40 numbers; their
logarithms are the features, and ``stack`` frames side by side are a step.
"""

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.data import manifest
from backtime.data.lexicon import Lexicon
from backtime.errors import UsageError

WINDOW, HOP, MELS = 0.025, 0.010, 40  # seconds, seconds, numbers
FLOOR = 1e-8  # of the power in a triangle: about -80 dB of a full tone
EXPECTED = "expected a file and what is said in it, like 'one.wav', a tab, 'one' below 'file', a tab, 'text'"
Floats = NDArray[np.float32]


class Utterance(NamedTuple):
    """Features (T, MELS stack), what is said, empty where nobody knows, and the file."""

    features: Floats
    text: str
    name: str


@dataclass(frozen=True)
class Hearing:
    """How sound becomes features."""

    rate: int = 8000
    stack: int = 2

    def steps(self, samples: Floats) -> Floats:
        """Features (T, MELS stack) of samples at ``rate``; the last frames that fill no step are left out."""
        frames = log_mel(samples, self.rate)
        T = max(1, len(frames) // self.stack)
        padded = np.resize(frames, (T * self.stack, MELS)) if len(frames) < self.stack else frames
        return padded[: T * self.stack].reshape(T, MELS * self.stack)


def read_manifest(source: Path | None, hearing: Hearing) -> Iterator[Utterance]:
    """The utterances of a table of ``file`` and ``text``; files are named from the table's own folder.

    Raises ``UsageError`` naming table, line and file.
    """
    if source is None:
        raise UsageError(f"sound is not read from standard input; {EXPECTED}")
    for path, text, place in manifest.read_manifest(source, EXPECTED):
        try:
            yield Utterance(hearing.steps(read_sound(path, hearing.rate)), text, str(path))
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from error


def read_unwritten(source: Path | None, hearing: Hearing) -> Iterator[Utterance]:
    """A sound file, those of a folder, or those of a manifest, whose texts are not asked for."""
    if source is not None and source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".wav", ".flac"))
        if not paths:
            raise UsageError(f"{source} has no sound in it; expected .wav or .flac files")
    elif source is not None and source.suffix.lower() in (".wav", ".flac"):
        paths = [source]
    else:
        yield from read_manifest(source, hearing)
        return
    for path in paths:
        yield Utterance(hearing.steps(read_sound(path, hearing.rate)), "", str(path))


def read_sound(path: Path, rate: int) -> Floats:
    """The samples of a sound file of one channel, at ``rate``; raises ``UsageError`` naming the file."""
    try:
        import soundfile
        from scipy.signal import resample_poly
    except ModuleNotFoundError as error:
        raise UsageError(f"sound needs {error.name}: pip install 'backtime[audio]'") from error
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a sound file")
    try:
        samples, own = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise UsageError(f"{path} is no sound file: {error}") from error
    if samples.shape[1] != 1:
        raise UsageError(f"{path} has {samples.shape[1]} channels; expected one")
    if not len(samples):
        raise UsageError(f"{path} has no sound in it; expected one sample at least")
    if not np.isfinite(samples).all():
        at = int(np.argwhere(~np.isfinite(samples[:, 0]))[0, 0])
        raise UsageError(f"{path} has {samples[at, 0]} at sample {at}; expected finite numbers")
    found: Floats = samples[:, 0]
    return found if own == rate else resample_poly(found, rate, own).astype(np.float32)


def log_mel(samples: Floats, rate: int) -> Floats:
    """Log-mel features (T, MELS); sound shorter than a frame is filled up with silence."""
    width, hop = round(WINDOW * rate), round(HOP * rate)
    samples = np.pad(samples, (0, max(0, width - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, width)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(width), axis=1)) ** 2 / width
    return np.log(power @ triangles(rate).T + FLOOR).astype(np.float32)


@functools.cache
def triangles(rate: int) -> NDArray[np.float64]:
    """(MELS, bins) The weights of the triangles; a triangle between two bins takes the nearer one."""
    width = round(WINDOW * rate)
    frequencies = np.fft.rfftfreq(width, 1 / rate)
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 1400), MELS + 2) / 2595) - 1)
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    weights = np.minimum((frequencies - low) / (middle - low), (high - frequencies) / (high - middle)).clip(0)
    empty = weights.sum(1) == 0
    nearest = np.abs(frequencies - middle[empty]).argmin(1)
    weights[np.flatnonzero(empty), nearest] = 1.0
    found: NDArray[np.float64] = weights
    return found


@dataclass(frozen=True)
class Utterances:
    """Scaled features and numbered texts to train on and to validate on."""

    training: list[tuple[Floats, NDArray[np.int64]]]
    held_out: list[tuple[Floats, NDArray[np.int64]]]
    encoding: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Of all numbers."""
        found = hashlib.blake2b(digest_size=16)
        for part in (self.training, self.held_out):
            for features, text in part:
                found.update(np.array(features.shape).tobytes() + features.tobytes() + text.tobytes())
            found.update(b"end")
        return found.hexdigest()

    def describe(self) -> str:
        """Utterances, steps, characters."""
        steps = sum(len(features) for features, _ in self.training)
        sizes = f"{len(self.training):,} utterances of {steps:,} steps, {len(self.held_out):,} to validate on"
        return f"{sizes}, {len(Lexicon.from_json(self.encoding['characters']))} characters"
