"""Symbol numbers to text, one at a time: what a sampler prints while it runs."""

import codecs
from dataclasses import dataclass, field
from typing import Protocol

from backtime.data.text.subwords import byte_of
from backtime.data.text.symbols import END_OF_LINE
from backtime.errors import UsageError


class Decoder(Protocol):
    """Feed it symbol numbers in order; the pieces it returns, joined, are the text."""

    def feed(self, id: int) -> str:
        """The text that the symbol adds; empty while a character is incomplete."""

    def flush(self) -> str:
        """What is still held back at the end of the text."""


@dataclass
class CharDecoder:
    """Each symbol is its character."""

    symbols: list[str]

    def feed(self, id: int) -> str:
        """The character."""
        return self.symbols[_checked(id, len(self.symbols))]

    def flush(self) -> str:
        """Nothing: no character is held back."""
        return ""


@dataclass
class ByteDecoder:
    """Bytes of UTF-8: holds a character back until its last byte; U+FFFD stands for what is no UTF-8."""

    pending: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def feed(self, id: int) -> str:
        """The characters that this byte completes."""
        return self.pending.decode(bytes([_checked(id, 256)]))

    def flush(self) -> str:
        """U+FFFD if a character was left incomplete."""
        return self.pending.decode(b"", final=True)


@dataclass
class SubwordDecoder:
    """Pieces of words: the bytes that each is written for, as ``ByteDecoder`` has them."""

    symbols: list[str]
    bytes: ByteDecoder = field(default_factory=ByteDecoder)

    def feed(self, id: int) -> str:
        """The characters that the piece completes."""
        table, symbol = byte_of(), self.symbols[_checked(id, len(self.symbols))]
        return "".join([self.bytes.feed(table[character]) for character in symbol])

    def flush(self) -> str:
        """U+FFFD if a character was left incomplete."""
        return self.bytes.flush()


@dataclass
class WordDecoder:
    """Words with a space between them, except at the start of a line; ``end_of_line`` is the newline.

    To continue a prompt, feed it the prompt's numbers first: then the next word gets its space.
    """

    symbols: list[str]
    end_of_line: str = END_OF_LINE
    line_start: bool = True

    def feed(self, id: int) -> str:
        """The word, after a space unless a line starts with it."""
        word = self.symbols[_checked(id, len(self.symbols))]
        after_space, self.line_start = self.line_start, word == self.end_of_line
        if self.line_start:
            return "\n"
        return word if after_space else f" {word}"

    def flush(self) -> str:
        """Nothing: no word is held back."""
        return ""


def _checked(id: int, size: int) -> int:
    if not 0 <= id < size:
        raise UsageError(f"id is {id}; expected 0 to {size - 1}")
    return id
