"""A prepared corpus on disk: its symbol numbers, and what they were made from.

``FOLDER/tokens.bin`` holds the numbers, little-endian uint8, uint16 or int32 by the size of the vocabulary;
``FOLDER/tokens.json`` says what they are. A folder without both, fitting each other, holds no corpus.
"""

import hashlib
import os
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError
from backtime.fields import read
from backtime.files import atomic_write, read_json_object, write_json_atomic

FORMAT = 1
DTYPES = {"uint8": "<u1", "uint16": "<u2", "int32": "<i4"}
BLOCK = 1 << 20  # bytes hashed at a time


@dataclass(frozen=True)
class About:
    """What ``tokens.json`` says; the corpus it was made from is described beside it (see ``tokens``)."""

    format: int
    corpus: str
    text_bytes: int
    files: int
    skipped: int
    length: int
    dtype: str
    fingerprint: str
    vocabulary: dict[str, Any]


class TokenFile:
    """The tokens of the corpus prepared in ``folder``, read when sliced: memory stays small at any length.

    ``len()`` is the number of tokens, ``[start:stop]`` gives them as an array, ``tokens`` is the whole as a
    read-only memory map. ``fingerprint`` is a hash of the numbers: with the same vocabulary, equal
    fingerprints mean the same text. ``corpus`` is the corpus's name, ``text_bytes`` its size in bytes;
    ``files`` counts its files, ``skipped`` those of its folder that are not text. Raises ``UsageError``
    when ``folder`` holds no corpus, or part of one.
    """

    def __init__(self, folder: Path | str) -> None:
        """Open the file; it stays open, so it may be replaced or removed meanwhile."""
        self.path = Path(folder) / "tokens.bin"
        self.about, own = _read_about(self.path)
        self.dtype = np.dtype(DTYPES[own.dtype])
        self.fingerprint, self.length = own.fingerprint, own.length
        self.corpus, self.text_bytes = own.corpus, own.text_bytes
        self.files, self.skipped = own.files, own.skipped
        self._handle = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._handle)
        if os.fstat(self._handle).st_size != self.length * self.dtype.itemsize:
            raise UsageError(f"{self.path} does not hold the {self.length:,} tokens of its tokens.json")

    @property
    def vocabulary(self) -> Vocabulary:
        """What the numbers stand for."""
        return Vocabulary.from_json(self.about["vocabulary"])

    def is_whole(self) -> bool:
        """Whether the numbers are those that the fingerprint was made of; reads them all, a GB a second."""
        digest, bytes_left = hashlib.blake2b(digest_size=16), self.length * self.dtype.itemsize
        for start in range(0, bytes_left, BLOCK):
            digest.update(os.pread(self._handle, BLOCK, start))
        return digest.hexdigest() == self.fingerprint

    def is_constant(self) -> bool:
        """Whether all numbers are the same; reads on to the first that is not."""
        first, step = self[:1], BLOCK // self.dtype.itemsize
        return all((self[start : start + step] == first).all() for start in range(0, self.length, step))

    def count(self, symbol: int) -> int:
        """How often a symbol number comes; reads them all."""
        step = BLOCK // self.dtype.itemsize
        return sum(int((self[start : start + step] == symbol).sum()) for start in range(0, self.length, step))

    @property
    def tokens(self) -> NDArray[Any]:
        """All tokens as a memory map; the pages that are touched count as memory of this process."""
        with os.fdopen(os.dup(self._handle), "rb") as file:
            return np.memmap(file, self.dtype, "r", shape=(self.length,))

    def __len__(self) -> int:
        """N, the number of tokens."""
        return self.length

    def __getitem__(self, where: slice, /) -> NDArray[Any]:
        """The tokens of a slice, read into an array of their own."""
        start, stop, step = where.indices(self.length)
        if step != 1:
            raise UsageError(f"the slice has step {step}; expected 1")
        wanted = max(0, stop - start) * self.dtype.itemsize
        data = os.pread(self._handle, wanted, start * self.dtype.itemsize)
        if len(data) < wanted:
            raise UsageError(f"{self.path} was cut short while it was in use")
        return np.frombuffer(data, self.dtype)


def write_tokens(
    folder: Path, pieces: Iterable[NDArray[np.int32]], vocabulary: Vocabulary, about: dict[str, Any]
) -> None:
    """Write the token file of ``folder`` from the numbers in pieces; ``about`` goes into ``tokens.json``."""
    name = next(name for name in DTYPES if len(vocabulary) - 1 <= np.iinfo(name).max)
    digest, length = hashlib.blake2b(digest_size=16), 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from error
    with atomic_write(folder / "tokens.bin") as file:
        for piece in pieces:
            data = piece.astype(DTYPES[name]).tobytes()
            file.write(data)
            digest.update(data)
            length += len(piece)
        if not length:
            raise UsageError(f"{about['corpus']} has no symbol of the vocabulary in it; expected a text")
        # The old description must never stand beside the new numbers, wherever this is interrupted.
        (folder / "tokens.json").unlink(missing_ok=True)
    found = {"length": length, "dtype": name, "fingerprint": digest.hexdigest()}
    own = {"format": FORMAT, **about, **found, "vocabulary": vocabulary.to_json()}
    write_json_atomic(folder / "tokens.json", own)


def _read_about(path: Path) -> tuple[dict[str, Any], About]:
    description = path.with_suffix(".json")
    if not (path.is_file() and description.is_file()):
        raise UsageError(f"{path.parent} holds no prepared corpus")
    value = read_json_object(description)
    own: About = read(About, value, f"{description} is damaged", others=True)
    if own.format != FORMAT or own.dtype not in DTYPES or own.length < 1:
        raise UsageError(f"{description} does not describe tokens of format {FORMAT}")
    return value, own
