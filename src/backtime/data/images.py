"""Labelled images and clips: the idx files of MNIST, and folders of picture files."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.examples import Example
from backtime.errors import UsageError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
IDX_BYTES = 8  # the type of the values in an idx file: unsigned bytes


def is_idx(source: Path) -> bool:
    """Whether the name is one of an idx file of images, ``...images-idx3-ubyte`` or the same with ``.gz``."""
    return "images" in source.name and "idx3" in source.name


def is_picture(source: Path) -> bool:
    """Whether the name is that of a picture file."""
    return source.suffix.lower() in PICTURES


def read_idx(source: Path, labelled: bool) -> Iterator[Example]:
    """The images (rows, columns) of an idx file; the labels are in ``...labels-idx1-ubyte`` beside it."""
    images = _idx(source, 3)
    labels = None
    if labelled:
        beside = source.with_name(source.name.replace("images", "labels").replace("idx3", "idx1"))
        labels = _idx(beside, 1)
        if len(labels) != len(images):
            raise UsageError(f"{beside} has {len(labels)} labels; expected {len(images)}, one an image")
    for n, image in enumerate(images):
        yield pictured(image, None if labels is None else str(labels[n]), f"{source} image {n}")


def _idx(source: Path, dimensions: int) -> NDArray[np.uint8]:
    try:
        content = source.read_bytes()
        content = gzip.decompress(content) if source.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"cannot read {source}: {getattr(error, 'strerror', None) or error}") from error
    head = 4 + 4 * dimensions
    shape = np.frombuffer(content[4:head], ">u4").astype(int)
    if content[:4] != bytes([0, 0, IDX_BYTES, dimensions]) or len(content) != head + shape.prod():
        raise UsageError(f"{source} is no whole idx file of bytes in {dimensions} dimensions")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def is_folder_of_pictures(folder: Path) -> bool:
    """Whether a folder has a folder for each label, with pictures or clips in it."""
    return any(is_picture(path) for path in folder.glob("*/*")) or any(
        is_picture(path) for path in folder.glob("*/*/*")
    )


def read_pictures(folder: Path) -> Iterator[Example]:
    """``LABEL/NAME.png`` is an image; of ``LABEL/CLIP/`` the pictures, by name, are the frames of a clip.

    An animated picture, such as ``LABEL/CLIP.gif``, is a clip too.
    """
    for label in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield from _read_folder(label, label.name)


def read_unlabelled(source: Path) -> Iterator[Example]:
    """A picture, or all pictures of a folder; of a folder of folders, each of these is a clip."""
    if source.is_dir():
        yield from _read_folder(source, None)
    else:
        yield pictured(read_picture(source), None, str(source))


def _read_folder(folder: Path, label: str | None) -> Iterator[Example]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield pictured(_clip(path), label, str(path))
        elif is_picture(path):
            yield pictured(read_picture(path), label, str(path))


def _clip(folder: Path) -> NDArray[np.uint8]:
    frames = {path: read_picture(path) for path in sorted(folder.iterdir()) if is_picture(path)}
    if not frames:
        raise UsageError(f"{folder} has no pictures; expected the frames of a clip")
    first = next(iter(frames))
    for path, frame in frames.items():
        if frame.ndim != 2:
            raise UsageError(f"{path} has {len(frame)} frames of its own; expected one, as a frame of a clip")
        if frame.shape != frames[first].shape:
            raise UsageError(f"{path} is {size(frame)}; expected {size(frames[first])}, as {first.name}")
    return np.stack(list(frames.values()))


def read_picture(path: Path, color: bool = False) -> NDArray[np.uint8]:
    """The grey values of a picture (rows, columns), or of all frames of an animated one.

    With ``color`` red, green and blue, in one more axis at the end.
    """
    try:
        from PIL import Image, ImageSequence
    except ModuleNotFoundError as error:
        raise UsageError("pictures need Pillow: pip install pillow") from error
    try:
        with Image.open(path) as picture:
            kind = "RGB" if color else "L"
            frames = [np.asarray(frame.convert(kind)) for frame in ImageSequence.Iterator(picture)]
    except Exception as error:  # Pillow's decoders raise whatever they meet in a damaged file
        raise UsageError(f"{path} is no picture: {error}") from error
    return np.stack(frames) if len(frames) > 1 else frames[0]


def pictured(image: NDArray[Any], label: str | None, place: str) -> Example:
    """The example of an image (rows, columns) or a clip (T, rows, columns)."""
    return Example(image, label, place, size(image))


def size(image: NDArray[Any]) -> str:
    """Rows by columns, for people."""
    return " x ".join(map(str, image.shape[-2:]))
