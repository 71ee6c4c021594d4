"""Files that are sent: their names, and the sizes of what they unfold to, before they are read."""

import contextlib
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

from backtime.errors import UsageError, shown

MOST_PIXELS, MOST_BEATS = 16_000_000, 20_000
PICTURES, MUSIC = (".png", ".jpg", ".jpeg"), (".mid", ".midi")


def check_name(name: str, endings: tuple[str, ...]) -> None:
    """Raise ``UsageError`` unless files of that ending are read."""
    if Path(name).suffix.lower() not in endings or not name.isprintable() or len(name) > 200:
        raise UsageError(
            f"the file is named {shown(name)}; expected a name that ends in {', '.join(endings)}"
        )


@contextlib.contextmanager
def sent_file(name: str, data: bytes) -> Iterator[Path]:
    """A file with these bytes, as long as the block lasts; errors have the name as it was sent."""
    with tempfile.TemporaryDirectory(prefix="backtime-") as folder:
        path = Path(folder) / f"file{Path(name).suffix.lower()}"
        path.write_bytes(data)
        try:
            _check_size(path)
            yield path
        except UsageError as error:
            raise UsageError(str(error).replace(str(path), name)) from error


def _check_size(path: Path) -> None:
    """Raise ``UsageError`` for a small file of something large."""
    if path.suffix in PICTURES:
        _check_picture(path)
    elif path.suffix in MUSIC:
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
