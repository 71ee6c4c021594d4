"""The lines of a text file or of standard input, one at a time."""

import contextlib
import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from backtime.errors import UsageError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_lines(source: Path | None) -> Iterator[str]:
    """The lines without their ends, as they come; None is standard input. ``*.gz`` is unpacked.

    Raises ``UsageError`` naming file and line at a byte that is not UTF-8.
    """
    name = "standard input" if source is None else str(source)
    if source is None and sys.stdin is None:
        raise UsageError("standard input is closed; expected text there")
    try:
        with contextlib.ExitStack() as stack:
            file = sys.stdin.buffer if source is None else stack.enter_context(_opened(source))
            for number, line in enumerate(file, 1):
                yield _decoded(line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line, name, number)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from error


def _opened(source: Path) -> BinaryIO:
    opener = gzip.open if source.suffix == ".gz" else open
    return cast(BinaryIO, opener(source, "rb"))


def _decoded(line: bytes, name: str, number: int) -> str:
    try:
        return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{name} line {number} is not UTF-8: byte 0x{line[error.start]:02x} at its offset {error.start} "
            f"({error.reason}); convert it to UTF-8"
        ) from error
