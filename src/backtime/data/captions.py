"""Images and what they show in words: picture files beside a table, idx files, NPZ archives."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.data import images
from backtime.data.batching.steps import Scale
from backtime.data.examples import ending
from backtime.data.manifest import TABLES, Entry, read_manifest
from backtime.data.pairs import held_out
from backtime.data.series import read_archive
from backtime.data.text.lines import read_lines
from backtime.data.written import Record, fingerprint
from backtime.errors import UsageError

EXPECTED = (
    "expected a CSV, TSV or JSON lines table of file and text, a folder with one, an idx file, or an .npz of "
    "images and texts"
)
ROW = "expected a picture and its text, like 'cat.png,a cat on a mat' below 'file,text'"
MOST_SYMBOLS = 10_000  # of a text: so that writing has an end, whatever a damaged file says
Image = NDArray[Any]  # (rows, columns, channels): bytes, or finite numbers


class Captioned(NamedTuple):
    """An image, its text, empty where nobody knows, its name, and where it is: file and line."""

    image: Image
    text: str
    name: str
    place: str


@dataclass(frozen=True)
class Frame:
    """What all images of a model share, and how many symbols the ``longest`` text of training has."""

    rows: int = 1
    columns: int = 1
    channels: int = 1
    longest: int = 1

    @property
    def size(self) -> str:
        """For people."""
        return _size((self.rows, self.columns, self.channels))

    def checked(self, own: Captioned) -> Image:
        """The image; raises ``UsageError`` naming it when it is of another size."""
        if own.image.shape != (self.rows, self.columns, self.channels):
            found = _size(own.image.shape)
            raise UsageError(f"{own.place} is {found}; expected {self.size}, as in training")
        return own.image

    def to_json(self) -> dict[str, Any]:
        """The fields as a value for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Captions:
    """Images and numbered texts to train on and to validate on."""

    training: list[Record]
    held_out: list[Record]
    encoding: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Of all numbers, and of the scale that they are seen by."""
        scale = Scale.from_json(self.encoding["scale"])
        return fingerprint(self.training, self.held_out, [(scale.mean, scale.deviation)])

    def describe(self) -> str:
        """Images, their size, symbols."""
        frame, symbols = Frame(**self.encoding["frame"]), len(self.encoding["targets"]["symbols"])
        sizes = f"{len(self.training):,} images of {frame.size}, {len(self.held_out):,} to validate on"
        return f"{sizes}, {symbols:,} symbols"


def frame_of(every: Sequence[Captioned]) -> Frame:
    """The size of the first image; raises ``UsageError`` naming the first image of another one."""
    if not every:
        return Frame()
    first = every[0]
    for own in every:
        if own.image.shape != first.image.shape:
            found, expected = _size(own.image.shape), _size(first.image.shape)
            raise UsageError(f"{own.place} is {found}; expected {expected}, as {first.place}")
    return Frame(*first.image.shape)


def held_out_image(image: Image, share: float, seed: int) -> bool:
    """Whether an image is set aside, with all its texts, by a hash of what it shows."""
    return held_out(hashlib.blake2b(image.tobytes(), digest_size=8).hexdigest(), share, seed)


def read_captioned(source: Path, texts: Path | None, color: bool) -> Iterator[Captioned]:
    """The images of a table, a folder with one, an idx file or an archive, with their texts.

    ``texts`` are those of an idx file, one a line; without it they are its labels. ``color`` reads picture
    files in red, green and blue, not as grey values. Raises ``UsageError`` naming file and line.
    """
    if texts is not None and not images.is_idx(source):
        raise UsageError(f"--text-file {texts} with {source}, which has texts; expected it with an idx file")
    if images.is_idx(source):
        return _idx(source, texts)
    if source.is_dir():
        return _pictured(_table_of(source), color, True)
    return _read(source, color, True)


def read_images(source: Path | None, color: bool) -> Iterator[Captioned]:
    """The same without texts, and a picture file or all of a folder; None, standard input, is refused."""
    if source is None:
        raise UsageError(f"images are not read from standard input; {EXPECTED}, or a picture")
    if source.is_dir():
        paths = sorted(path for path in source.iterdir() if images.is_picture(path))
        if not paths:
            raise UsageError(f"{source} has no pictures in it; expected files that end in .png, .jpg, ...")
        return (_picture(Entry(path, "", ""), color) for path in paths)
    if images.is_picture(source):
        return iter([_picture(Entry(source, "", ""), color)])
    if images.is_idx(source):
        return (_of_idx(own, "") for own in images.read_idx(source, False))
    return _read(source, color, False)


def captioned(record: Any, number: int) -> Captioned:
    """A record as it is, or that of an array (rows, columns) or (rows, columns, channels)."""
    if isinstance(record, Captioned):
        return record
    name, image = f"record {number}", np.asarray(record)
    if image.ndim not in (2, 3) or image.dtype.kind not in "iufb":
        raise UsageError(f"{name} has shape {image.shape}, type {image.dtype}; expected an image")
    return Captioned(_numbers(image, name), "", name, name)


def _read(source: Path, color: bool, texts: bool) -> Iterator[Captioned]:
    if ending(source) in TABLES:
        return _pictured(source, color, texts)
    if ending(source) == ".npz":
        return _npz(source, texts)
    raise UsageError(f"{source} {'is of another kind' if source.exists() else 'is not there'}; {EXPECTED}")


def _table_of(folder: Path) -> Path:
    tables = sorted(path for path in folder.iterdir() if ending(path) in TABLES)
    if len(tables) != 1:
        found = ", ".join(path.name for path in tables[:4]) or "none"
        raise UsageError(f"{folder} has {found}; expected one table of file and text, beside the pictures")
    return tables[0]


def _pictured(table: Path, color: bool, texts: bool) -> Iterator[Captioned]:
    """The pictures of a table; one that comes again, with another text, is read once more."""
    return (_picture(entry, color) for entry in read_manifest(table, ROW, texts))


def _picture(entry: Entry, color: bool) -> Captioned:
    before = f"{entry.place}: " if entry.place else ""
    if not entry.path.is_file():
        raise UsageError(f"{before}{entry.path}: no such file; expected a picture")
    try:
        image = images.read_picture(entry.path, color)
    except UsageError as error:
        raise UsageError(f"{before}{error}") from error
    return Captioned(_numbers(image, str(entry.path)), entry.text, str(entry.path), f"{before}{entry.path}")


def _idx(source: Path, texts: Path | None) -> Iterator[Captioned]:
    found = images.read_idx(source, texts is None)
    if texts is None:
        yield from (_of_idx(own, own.label or "") for own in found)
        return
    lines, number = read_lines(texts), 0
    for number, own in enumerate(found, 1):
        line = next(lines, None)
        if line is None:
            raise UsageError(f"{texts} ends before line {number}, {source} has more images; {_EACH}")
        if not line.strip():
            raise UsageError(f"{texts} line {number} is empty; {_EACH}")
        yield _of_idx(own, line.strip())
    if next(lines, None) is not None:
        raise UsageError(f"{texts} goes on after line {number}, {source} has {number} images; {_EACH}")


_EACH = "expected a text for each image"


def _of_idx(own: Any, text: str) -> Captioned:
    return Captioned(own.content[..., None], text, own.place, own.place)


def _npz(source: Path, texts: bool) -> Iterator[Captioned]:
    arrays = read_archive(source)
    for name in ("images", "texts") if texts else ("images",):
        if name not in arrays:
            raise UsageError(
                f"{source} has {', '.join(arrays) or 'nothing'}; expected arrays images and texts"
            )
    every, own = arrays["images"], arrays.get("texts") if texts else None
    if every.dtype.kind not in "iufb" or every.ndim not in (3, 4) or not every.size:
        raise UsageError(
            f"{source}: images have shape {every.shape} and type {every.dtype}; expected numbers (N, rows, "
            "columns) or (N, rows, columns, channels)"
        )
    if own is not None and (own.shape != every.shape[:1] or own.dtype.kind != "U"):
        raise UsageError(
            f"{source}: texts have shape {own.shape} and type {own.dtype}; expected {len(every)} texts"
        )
    for n, image in enumerate(every):
        place, text = f"{source} image {n}", "" if own is None else str(own[n]).strip()
        if own is not None and not text:
            raise UsageError(f"{place} has no text; expected one")
        yield Captioned(_numbers(image, place), text, place, place)


def _numbers(image: Image, place: str) -> Image:
    """(rows, columns, channels) as bytes or as finite float32."""
    image = image if image.ndim == 3 else image[..., None]
    if image.dtype == np.uint8:
        return image
    if not np.isfinite(image).all():
        row, column, channel = (int(at) for at in np.argwhere(~np.isfinite(image))[0])
        raise UsageError(
            f"{place} is {image[row, column, channel]} at row {row}, column {column}; expected finite numbers"
        )
    return image.astype(np.float32)


def _size(shape: tuple[int, ...]) -> str:
    rows, columns, channels = shape
    return f"{rows} x {columns}" + (f" x {channels}" if channels != 1 else "")
