"""Records from JSON and from files that are sent, for each task what its predictor takes."""

import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backtime.data.audio import Utterance
from backtime.data.midi import LOWEST
from backtime.data.pianoroll import KEYS, Roll, note_name
from backtime.errors import UsageError, shown
from backtime.runtime.predictor import Predictor, Row

LONGEST = 100_000  # steps of a record that is not text
MOST_PIXELS, MOST_BEATS = 16_000_000, 20_000
PICTURES, TABLES = (".png", ".jpg", ".jpeg"), (".csv", ".tsv")


class Input(NamedTuple):
    """How a task's records look in JSON, how they are made, and the endings of files that are read.

    No ending is here whose files name others, or may unfold to many times their size.
    """

    words: str
    make: Callable[[Predictor, list[Any]], list[Any]]
    endings: tuple[str, ...]


def _texts(predictor: Predictor, records: list[Any]) -> list[Any]:
    return [_text(one, n) for n, one in enumerate(records, 1)]


def _text(value: Any, number: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _bad(number, value, "a text")
    return value


def _lists_of_words(predictor: Predictor, records: list[Any]) -> list[Any]:
    return [
        _text(one, n).split() if isinstance(one, str) else _words(one, n) for n, one in enumerate(records, 1)
    ]


def _words(value: Any, number: int) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(w, str) and w for w in value):
        raise _bad(number, value, "a list of words")
    return value


def _items(predictor: Predictor, records: list[Any]) -> list[Any]:
    return [_words(one, n) for n, one in enumerate(records, 1)]


def _examples(predictor: Any, records: list[Any]) -> list[Any]:
    if predictor.encoder.symbols is not None:
        return _texts(predictor, records)
    width = predictor.network.config.channels
    return [_matrix(one, n, width) for n, one in enumerate(records, 1)]


def _pairs(predictor: Predictor, records: list[Any]) -> list[Any]:
    for n, one in enumerate(records, 1):
        if not isinstance(one, list) or len(one) != 2 or not all(isinstance(w, str) and w for w in one):
            raise _bad(n, one, "a list of two texts")
    return records


def _images(predictor: Predictor, records: list[Any]) -> list[Any]:
    return [_image(one, n) for n, one in enumerate(records, 1)]


def _image(value: Any, number: int) -> Any:
    try:
        found = np.array(value)
    except ValueError:  # rows of several lengths
        found = np.array(None)
    if (
        found.dtype.kind not in "iuf"
        or found.ndim not in (2, 3)
        or not found.size
        or not (abs(found) < 1e30).all()
    ):
        raise _bad(number, value, "a list of rows, each a list of numbers, or with colors of lists of three")
    return found


def _matrix(value: Any, number: int, width: int) -> Any:
    wanted = f"a list of 1 to {LONGEST:,} steps, each a list of {width} numbers"
    if not isinstance(value, list) or not 1 <= len(value) <= LONGEST:
        raise _bad(number, value, wanted)
    if not all(isinstance(row, list) and len(row) == width and all(map(_is_number, row)) for row in value):
        raise _bad(number, value, wanted)
    return np.array(value, np.float64)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e30  # NaN and infinity are no JSON


def _rolls(predictor: Predictor, records: list[Any]) -> list[Any]:
    return [Roll(str(n), _frames(one, n)) for n, one in enumerate(records, 1)]


def _frames(value: Any, number: int) -> Any:
    wanted = "a list of frames, each a list of notes such as 'C4' or 60"
    if not isinstance(value, list) or not 1 <= len(value) <= LONGEST:
        raise _bad(number, value, wanted)
    frames = np.zeros((len(value), KEYS), np.float32)
    for t, frame in enumerate(value):
        if not isinstance(frame, list):
            raise _bad(number, frame, wanted)
        for note in frame:
            key = NOTES.get(note) if isinstance(note, str | int) else None
            if key is None:
                raise _bad(number, note, "notes from A0 to C8, or 21 to 108")
            frames[t, key] = 1
    return frames


NOTES: dict[str | int, int] = {note_name(key): key for key in range(KEYS)} | {
    key + LOWEST: key for key in range(KEYS)
}


def _sounds(predictor: Any, records: list[Any]) -> list[Any]:
    hearing = predictor.hearing
    wanted = f"a list of samples from -1 to 1, {hearing.rate} a second, {MOST_SOUND} seconds at most"
    made = []
    for n, one in enumerate(records, 1):
        if not isinstance(one, list) or not 1 <= len(one) <= MOST_SOUND * hearing.rate:
            raise _bad(n, one, wanted)
        if not all(_is_number(value) and abs(value) <= 1 for value in one):
            raise _bad(n, one, wanted)
        made.append(Utterance(hearing.steps(np.array(one, np.float32)), "", str(n)))
    return made


MOST_SOUND = 600


def _rows(predictor: Predictor, records: list[Any]) -> list[Any]:
    """A table's rows, as objects, read as that table's file."""
    names = list(records[0]) if isinstance(records[0], dict) else []
    lines = [_line(names)]
    for n, one in enumerate(records, 1):
        if not isinstance(one, dict) or not names or list(one) != names:
            raise _bad(n, one, "an object, a row of the table, with the names of the first row")
        lines.append(_line([_cell(value, n) for value in one.values()]))
    found: list[Any] = read_file(predictor, "rows.csv", "\n".join(lines).encode(), list)
    return found


def _line(cells: list[str]) -> str:
    return ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)


def _cell(value: Any, number: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not (isinstance(value, str) or _is_number(value)):
        raise _bad(number, value, "texts and numbers")
    text = str(value)
    if "\n" in text or "\r" in text:
        raise _bad(number, value, "cells of one line")
    return text


def _bad(number: int, value: Any, wanted: str) -> UsageError:
    return UsageError(f"record {number} is {shown(value)}; expected {wanted}")


TEXTS = Input("texts", _texts, (".txt",))
EXAMPLES = Input("texts, or lists of steps", _examples, (".txt", *TABLES, ".jsonl", ".ts", *PICTURES))
INPUTS: dict[str, Input] = {
    "language": TEXTS,
    "translate": TEXTS,
    "tag": Input("texts, or lists of words", _lists_of_words, (".txt", ".conllu", ".conll")),
    "classify": EXAMPLES,
    "regress": EXAMPLES,
    "similar": Input("lists of two texts", _pairs, (".tsv",)),
    "recommend": Input("lists of items", _items, TABLES),
    "forecast": Input("rows of the table, as objects", _rows, TABLES),
    "music": Input("lists of frames, each a list of notes", _rolls, (".mid", ".midi")),
    "transcribe": Input("lists of samples", _sounds, (".wav",)),
    "caption": Input("lists of rows, each a list of numbers", _images, PICTURES),
}


def input_of(task: str) -> Input:
    """The task's; raises ``UsageError`` for one that has no line in ``INPUTS``."""
    if task not in INPUTS:
        raise UsageError(f"models for the task {task} cannot be served; expected {', '.join(INPUTS)}")
    return INPUTS[task]


def predict_file(predictor: Predictor, name: str, data: bytes) -> list[Row]:
    """The rows for a file's records."""
    found: list[Row] = read_file(predictor, name, data, lambda records: list(predictor.predict(records)))
    return found


def read_file(predictor: Predictor, name: str, data: bytes, use: Callable[[Iterator[Any]], Any]) -> Any:
    """What ``use`` makes of a file's records; errors have the file's own name, as it was sent."""
    with tempfile.TemporaryDirectory(prefix="backtime-") as folder:
        path = Path(folder) / f"file{Path(name).suffix.lower()}"
        path.write_bytes(data)
        try:
            _check_size(path)
            return use(predictor.read(path))
        except UsageError as error:
            raise UsageError(str(error).replace(str(path), name)) from error


def check_name(name: str, endings: tuple[str, ...]) -> None:
    """Raise ``UsageError`` unless files of that ending are read."""
    if Path(name).suffix.lower() not in endings or not name.isprintable() or len(name) > 200:
        raise UsageError(
            f"the file is named {shown(name)}; expected a name that ends in {', '.join(endings)}"
        )


def _check_size(path: Path) -> None:
    """Raise ``UsageError`` for a small file of something large."""
    if path.suffix in PICTURES:
        _check_picture(path)
    elif path.suffix in (".mid", ".midi"):
        _check_music(path)


def _check_picture(path: Path) -> None:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise UsageError("pictures need pillow: pip install 'backtime[images]'") from error
    try:
        with Image.open(path) as picture:
            pixels = math.prod(picture.size)
    except Exception as error:  # whatever a picture's decoder finds wrong with it
        raise UsageError(f"{path} is no picture; expected PNG or JPEG") from error
    if pixels > MOST_PIXELS:
        raise UsageError(f"{path} has {pixels:,} pixels; expected {MOST_PIXELS:,} at most")


def _check_music(path: Path) -> None:
    try:
        import mido
    except ModuleNotFoundError as error:
        raise UsageError("MIDI files need mido: pip install 'backtime[music]'") from error
    try:
        file = mido.MidiFile(path)
        ticks = max((sum(message.time for message in track) for track in file.tracks), default=0)
        beats = ticks / max(1, file.ticks_per_beat)
    except Exception as error:  # mido raises what its parser stumbles over
        raise UsageError(f"{path} is no MIDI file that can be read") from error
    if beats > MOST_BEATS:
        raise UsageError(f"{path} has {beats:,.0f} beats; expected {MOST_BEATS:,} at most")
