"""Piano rolls: which of the 88 keys sound in each frame of a piece, from MATLAB, NumPy and MIDI files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.data.midi import KEYS as KEYS
from backtime.data.midi import LOWEST, read_midi
from backtime.errors import UsageError

PITCHES = 128  # of MIDI; the piano has 88 of them
PARTS = ("train", "valid", "test")
MIDI, MATLAB, NUMPY = (".mid", ".midi"), ".mat", ".npz"
EXPECTED = "a MIDI file, a folder of them, a .mat or an .npz file of arrays (frames, 88 keys) of 0 and 1"
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


class Roll(NamedTuple):
    """A piece: its name, and frames (T, 88), float32 0 and 1."""

    name: str
    frames: NDArray[np.float32]


def note_name(key: int) -> str:
    """The name of a key from 0 to 87: the middle C, key 39, is C4."""
    pitch = key + LOWEST
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"


def read_parts(source: Path, frames_per_beat: int) -> dict[str, list[Roll]]:
    """The pieces of a file or folder by part: ``train``, ``valid`` and ``test``, or all under ``""``.

    - ``.mat``: cell arrays ``traindata``, ``validdata``, ``testdata`` of pieces
    - ``.npz``: an array a piece; names that begin with ``train``, ``valid`` or ``test`` say its part
    - a MIDI file, or a folder of them at any depth, with folders of those names for parts

    Raises ``UsageError`` naming file and piece: what is no such file, an array of other width, a number
    that is neither 0 nor 1, a piece without a frame.
    """
    if source.is_dir() or source.suffix.lower() in MIDI:
        named: Iterator[tuple[str, str, Any]] = _midi(source, frames_per_beat)
    elif source.suffix.lower() == MATLAB:
        named = _matlab(source)
    elif source.suffix.lower() == NUMPY:
        named = _numpy(source)
    else:
        raise UsageError(f"{source} has no known ending; expected {EXPECTED}")
    parts: dict[str, list[Roll]] = {}
    for part, name, values in named:
        parts.setdefault(part, []).append(Roll(name, _checked(values, f"{source}: {name}")))
    if not parts:
        raise UsageError(f"{source} has no piece; expected {EXPECTED}")
    return parts


def _part(name: str) -> str:
    return next((part for part in PARTS if name.startswith(part)), "")


def _midi(source: Path, frames_per_beat: int) -> Iterator[tuple[str, str, Any]]:
    files = [source]
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.suffix.lower() in MIDI)
    for path in files:
        inside = path.relative_to(source) if source.is_dir() else Path(path.name)
        rolls = read_midi(path, frames_per_beat)
        yield _part(inside.parts[0]) if len(inside.parts) > 1 else "", str(inside), rolls


def _matlab(source: Path) -> Iterator[tuple[str, str, Any]]:
    try:
        import scipy.io
    except ModuleNotFoundError as error:
        raise UsageError(f"{source}: .mat files need scipy: pip install 'backtime[music]'") from error
    try:
        content = scipy.io.loadmat(source)
    except FileNotFoundError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error
    except Exception as error:  # scipy raises what the broken byte leads to
        raise UsageError(f"{source} is no MATLAB file that can be read: {_first_line(error)}") from error
    found = {part: content[f"{part}data"] for part in PARTS if f"{part}data" in content}
    if not found:
        names = ", ".join(name for name in content if not name.startswith("__"))
        raise UsageError(f"{source} has {names or 'nothing'}; expected traindata, validdata, testdata")
    for part, cells in found.items():
        for number, values in enumerate(np.ravel(cells), 1):
            yield part, f"{part}data {number}", values


def _numpy(source: Path) -> Iterator[tuple[str, str, Any]]:
    try:
        with np.load(source) as file:
            content: Mapping[str, Any] = {name: file[name] for name in file.files}
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror or error}") from error
    except Exception as error:  # zipfile and NumPy have many words for: damaged
        raise UsageError(f"{source} is no .npz file of numbers: {_first_line(error)}") from error
    for name, values in content.items():
        yield _part(name), name, values


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _checked(values: Any, where: str) -> NDArray[np.float32]:
    """Frames as float32; raises ``UsageError`` naming the first frame and key that is neither 0 nor 1."""
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] not in (KEYS, PITCHES) or array.dtype.kind not in "buif":
        raise UsageError(f"{where} has shape {array.shape}, type {array.dtype}; expected (frames, {KEYS})")
    if not len(array):
        raise UsageError(f"{where} has no frame; expected one at least")
    wrong = np.argwhere((array != 0) & (array != 1))  # NaN is neither
    for frame, key in wrong[:1].tolist():
        raise UsageError(
            f"{where}, frame {frame + 1}, key {key + 1}, is {array[frame, key]}; expected 0 or 1"
        )
    if array.shape[1] == PITCHES:
        array = array[:, LOWEST : LOWEST + KEYS]
    return np.ascontiguousarray(array, np.float32)
