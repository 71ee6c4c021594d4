"""Read a corpus in pieces; a text never stands in memory whole."""

import codecs
import gzip
import io
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import AnyStr

from backtime.data.text.corpus import Corpus
from backtime.errors import UsageError

BLOCK = 1 << 16  # bytes read at a time; what is made of them stays in the cache
LONGEST_WORD = 1 << 20  # characters without white space that still pass for a word

Tick = Callable[[int], None]  # told the number of bytes just read


def read_bytes(corpus: Corpus, tick: Tick | None = None) -> Iterator[bytes]:
    """The bytes of the corpus in blocks; a newline follows a file that lacks one, unless it is the last."""
    return _joined((_blocks(source.path, tick) for source in corpus.files), b"\n")


def read_text(corpus: Corpus, tick: Tick | None = None) -> Iterator[str]:
    """The characters of the corpus in pieces, decoded from UTF-8; joined as in ``read_bytes``.

    Newlines stay as they are; a byte order mark at the start of a file is left out. Raises ``UsageError``
    naming file and offset at a byte that is not UTF-8.
    """
    return _joined((read_file(source.path, tick) for source in corpus.files), "\n")


def read_file(path: Path, tick: Tick | None = None) -> Iterator[str]:
    """The characters of one file, as ``read_text`` gives them."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    taken, started = 0, False
    for block in itertools.chain(_blocks(path, tick), [b""]):
        held = len(decoder.getstate()[0])  # the first bytes of a character that the last block cut
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise UsageError(_not_utf8(path, taken - held + error.start, error)) from error
        taken += len(block)
        if text and not started:
            text, started = text.removeprefix("\ufeff"), True
        if text:
            yield text


def whole_words(pieces: Iterable[str]) -> Iterator[str]:
    """The same text in pieces that end between words."""
    held = ""
    for piece in pieces:
        text = held + piece
        held = "" if text[-1].isspace() else text.rsplit(None, 1)[-1]
        if len(held) > LONGEST_WORD:
            raise UsageError(f"the text has a word of over {LONGEST_WORD:,} characters; use --level char")
        if len(held) < len(text):
            yield text[: len(text) - len(held)]
    if held:
        yield held


def _blocks(path: Path, tick: Tick | None) -> Iterator[bytes]:
    try:
        with _opened(path) as file:
            while block := file.read(BLOCK):
                yield block
                if tick:
                    tick(len(block))
    except (OSError, EOFError, zlib.error) as error:  # the last two: a cut or damaged .gz
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _opened(path: Path) -> gzip.GzipFile | io.FileIO:
    """A file, or what a file that ends in ``.gz`` holds."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb", buffering=0)


def _joined(files: Iterable[Iterator[AnyStr]], newline: AnyStr) -> Iterator[AnyStr]:
    last = newline
    for pieces in files:
        if not last.endswith(newline):
            yield newline
        for last in pieces:
            yield last


def _not_utf8(path: Path, offset: int, error: UnicodeDecodeError) -> str:
    if offset == 0 and error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return f"{path} looks like UTF-16; convert it to UTF-8"
    return (
        f"{path} is not UTF-8: byte 0x{error.object[error.start]:02x} at offset {offset:,} ({error.reason}); "
        "convert it to UTF-8, or use --level byte"
    )
