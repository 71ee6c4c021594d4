"""Symbols to numbers and back: characters, bytes, words or their pieces. Light, for the runtime uses it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backtime.data.text.decoders import ByteDecoder, CharDecoder, Decoder, SubwordDecoder, WordDecoder
from backtime.data.text.subwords import Encoder, check_pieces
from backtime.data.text.symbols import (
    BYTES,
    Special,
    UnknownSymbolError,
    check_special,
    check_symbols,
    code_points,
    place,
    split_words,
    utf8_bytes,
)
from backtime.errors import UsageError, shown


@dataclass(frozen=True)
class Vocabulary:
    """The V symbols of one ``level``; the number of a symbol is its place in ``symbols``.

    - ``"char"``: ``symbols`` are single characters (Unicode code points).
    - ``"byte"``: the 256 bytes of the text in UTF-8; ``symbols`` need not be given.
    - ``"word"``: what stands between white space. The newline is the word ``special.end_of_line``; a word
      that is not among ``symbols`` is ``special.unknown``. Both must be among them.
    - ``"subword"``: pieces of words, by the ``merges`` of ``subwords.learn``

    Raises ``UsageError`` when ``symbols`` do not fit the level.
    """

    level: str
    symbols: list[str] = field(default_factory=list)
    merges: list[str] = field(default_factory=list)  # of pieces of words
    special: Special = field(default_factory=Special)  # of words

    def __post_init__(self) -> None:
        """Check the symbols; at byte level, fill them in."""
        if self.level == "byte" and not self.symbols:
            object.__setattr__(self, "symbols", list(BYTES))  # the dataclass is frozen, this is its birth
        check_special(self.special)
        check_symbols(self.level, self.symbols, self.special)
        if self.level == "subword":
            check_pieces(self.symbols, self.merges)

    def __len__(self) -> int:
        """V, the number of symbols."""
        return len(self.symbols)

    def encode(self, text: str, unknown: str = "error") -> NDArray[np.int32]:
        """The numbers of the symbols of ``text``, int32.

        ``unknown`` says what happens to a character that a char vocabulary lacks: ``"error"`` raises
        ``UnknownSymbolError`` (a ``UsageError``) naming it and its place, ``"skip"`` leaves it out.
        """
        if unknown not in ("error", "skip"):
            raise UsageError(f"unknown is {shown(unknown)}; expected error or skip")
        if self.level == "word":
            words, number = split_words(text, self.special.end_of_line), self._numbers.get
            other = self._numbers[self.special.unknown]
            return np.fromiter((number(word, other) for word in words), np.int32, len(words))
        if self.level == "byte":
            return utf8_bytes(text).astype(np.int32)
        if self.level == "subword":
            return self._encoder.encode(text)
        ids = self._table.take(code_points(text), mode="clip")  # above the table: its last entry, -1
        known = ids >= 0
        if known.all():
            return ids
        if unknown == "skip":
            return ids[known]
        at = int(known.argmin())
        raise UnknownSymbolError(text[at], len(self), place(text, at))

    def decode(self, ids: ArrayLike) -> str:
        """The text of symbol numbers: what ``decoder`` gives when fed all of them."""
        numbers = self._checked(np.asarray(ids))
        if self.level == "char":
            return str(self._code_points[numbers].tobytes(), "utf-32-le")
        if self.level == "byte":
            return str(numbers.astype(np.uint8).tobytes(), "utf-8", "replace")
        decoder = self.decoder()
        return "".join([*(decoder.feed(number) for number in numbers.tolist()), decoder.flush()])

    def decoder(self) -> Decoder:
        """A decoder with a memory, for text that comes a symbol at a time: ``feed(id)``, ``flush()``."""
        if self.level == "byte":
            return ByteDecoder()
        if self.level == "char":
            return CharDecoder(self.symbols)
        if self.level == "subword":
            return SubwordDecoder(self.symbols)
        return WordDecoder(self.symbols, self.special.end_of_line)

    def shown(self, id: int) -> str:
        """A symbol for people: a piece of a word as the text that it is, every other as it is called."""
        return self.decode([id]) if self.level == "subword" else self.symbols[id]

    @property
    def unknown(self) -> int | None:
        """The number that stands for every word that is not among the symbols; None where none does."""
        return self._numbers[self.special.unknown] if self.level == "word" else None

    def to_json(self) -> dict[str, Any]:
        """The vocabulary as a value for JSON; ``from_json`` reads it back equal."""
        if self.level == "byte":
            return {"level": "byte"}
        value: dict[str, Any] = {"level": self.level, "symbols": self.symbols}
        if self.level == "subword":
            value["merges"] = self.merges
        return value | (self.special._asdict() if self.special != Special() else {})

    @classmethod
    def from_json(cls, value: Any) -> "Vocabulary":
        """The vocabulary of ``to_json``'s value; raises ``UsageError`` when it is something else."""
        if not isinstance(value, dict) or not isinstance(value.get("level"), str):
            raise UsageError(f"the vocabulary is {shown(value)}; expected an object with level and symbols")
        symbols, merges = value.get("symbols", []), value.get("merges", [])
        for name, found in (("symbols", symbols), ("merges", merges)):
            if not isinstance(found, list) or not all(isinstance(symbol, str) for symbol in found):
                raise UsageError(f"{name} are {shown(found)}; expected a list of strings")
        unknown, end = (value.get(name, word) for name, word in Special()._asdict().items())
        if not (isinstance(unknown, str) and isinstance(end, str)):
            raise UsageError(f"the special words are {shown([unknown, end])}; expected strings")
        return cls(value["level"], symbols, merges, Special(unknown, end))

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.symbols, self.merges)

    @cached_property
    def _code_points(self) -> NDArray[np.uint32]:
        return code_points("".join(self.symbols))

    @cached_property
    def _table(self) -> NDArray[np.int32]:
        """The number of every code point up to the largest one known and one above it; -1 where unknown."""
        table = np.full(int(self._code_points.max()) + 2, -1, np.int32)
        table[self._code_points] = np.arange(len(self), dtype=np.int32)
        return table

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    def _checked(self, ids: NDArray[Any]) -> NDArray[Any]:
        if ids.size == 0:
            return np.zeros(0, np.int64)
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise UsageError(f"ids have shape {ids.shape} and type {ids.dtype}; expected a row of integers")
        if ids.min() < 0 or ids.max() >= len(self):
            raise UsageError(f"ids range from {ids.min()} to {ids.max()}; expected 0 to {len(self) - 1}")
        return ids
