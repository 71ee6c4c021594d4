"""Files of images and texts: picture files beside a table, idx files, NPZ archives."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backtime.data import images
from backtime.data.captions import Captioned, finite_image
from backtime.data.examples import ending
from backtime.data.manifest import TABLES, Entry, read_manifest
from backtime.data.series.archives import read_archive
from backtime.data.text.lines import read_lines
from backtime.errors import UsageError

EXPECTED = (
    "expected a CSV, TSV or JSON lines table of file and text, a folder with one, an idx file, or an .npz of "
    "images and texts"
)

ROW = "expected a picture and its text, like 'cat.png,a cat on a mat' below 'file,text'"

_EACH = "expected a text for each image"


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
    return Captioned(
        finite_image(image, str(entry.path)), entry.text, str(entry.path), f"{before}{entry.path}"
    )


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
        yield Captioned(finite_image(image, place), text, place, place)
