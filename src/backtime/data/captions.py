"""Images and what they show in words: what is kept of them, and what all images of a model share."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.steps import Scale
from backtime.data.pairs import held_out
from backtime.data.written import Record, fingerprint
from backtime.errors import UsageError

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


def captioned(record: Any, number: int) -> Captioned:
    """A record as it is, or that of an array (rows, columns) or (rows, columns, channels)."""
    if isinstance(record, Captioned):
        return record
    name, image = f"record {number}", np.asarray(record)
    if image.ndim not in (2, 3) or image.dtype.kind not in "iufb":
        raise UsageError(f"{name} has shape {image.shape}, type {image.dtype}; expected an image")
    return Captioned(finite_image(image, name), "", name, name)


def finite_image(image: Image, place: str) -> Image:
    """(rows, columns, channels) as bytes or as finite float32; raises ``UsageError`` naming ``place``."""
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
