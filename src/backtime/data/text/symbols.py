"""What a symbol is at each level, and the pieces that a text is cut into."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UnknownValueError, UsageError, shown

LEVELS = ("char", "byte", "word", "subword")
SIZED = ("word", "subword")  # the levels at which one chooses how many symbols there are
UNKNOWN = "<unk>"  # word level: every word that is not in the vocabulary, unless a text says otherwise
END_OF_LINE = "<eos>"  # word level: the newline
BYTES = [chr(i) if i < 128 else f"\\x{i:02x}" for i in range(256)]


class Special(NamedTuple):
    """What a text of words calls a word that the vocabulary lacks, and the end of a line."""

    unknown: str = UNKNOWN
    end_of_line: str = END_OF_LINE


class UnknownSymbolError(UnknownValueError):
    """A text holds a character that the vocabulary lacks; ``symbol`` is the character."""

    def __init__(self, symbol: str, size: int, place: str) -> None:
        """``place`` says where in the text, ``size`` is how many symbols the vocabulary has."""
        super().__init__(
            f"the character {shown(symbol)} (U+{ord(symbol):04X}) at {place} "
            f"is not one of the {size} characters of the vocabulary"
        )
        self.symbol = symbol


def split_words(text: str, end_of_line: str = END_OF_LINE) -> list[str]:
    """The words of ``text``: what stands between white space, and ``end_of_line`` for each newline."""
    return text.replace("\n", f" {end_of_line} ").split()


def code_points(text: str) -> NDArray[np.uint32]:
    """The Unicode code points of ``text``, one number a character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def utf8_bytes(text: str) -> NDArray[np.uint8]:
    """The bytes of ``text`` in UTF-8; bytes that a shell could not decode come back as they were."""
    try:
        return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)
    except UnicodeEncodeError as error:
        symbol, where = text[error.start], place(text, error.start)
        raise UsageError(f"the text has half a character, {shown(symbol)}, at {where}") from error


def place(text: str, at: int) -> str:
    """Where character ``at`` stands, for people; lines and columns count from 1."""
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return f"line {line}, column {column} (offset {at})"


def check_level(level: str) -> None:
    """Raise ``UsageError`` unless ``level`` is one of ``LEVELS``."""
    if level not in LEVELS:
        raise UsageError(f"level is {shown(level)}; expected one of {', '.join(LEVELS)}")


def check_special(special: Special) -> None:
    """Raise ``UsageError`` unless both are words, and not the same one."""
    for name, word in zip(("unk-token", "eos-token"), special, strict=True):
        if not _is_word(word):
            raise UsageError(f"--{name} is {shown(word)}; expected a single word")
    if special.unknown == special.end_of_line:
        raise UsageError(f"--unk-token and --eos-token are both {shown(special.unknown)}; expected two words")


def check_symbols(level: str, symbols: list[str], special: Special) -> None:
    """Raise ``UsageError`` unless ``symbols`` are those of a vocabulary of ``level``."""
    check_level(level)
    if level == "byte":
        if symbols != BYTES:
            raise UsageError("symbols of a byte vocabulary are the 256 bytes; leave them out")
        return
    if not symbols:
        raise UsageError(f"symbols is empty; expected the symbols of a {level} vocabulary")
    fits = _is_character if level == "char" else _is_word  # a piece of a word has no space in it either
    seen: set[str] = set()
    for at, symbol in enumerate(symbols):
        if not fits(symbol):
            raise UsageError(f"symbol {at} is {shown(symbol)}; expected a single {level}")
        if symbol in seen:
            raise UsageError(f"symbol {at} is {shown(symbol)} for the second time; expected each once")
        seen.add(symbol)
    for word in special if level == "word" else ():
        if word not in seen:
            raise UsageError(f"symbols lack {word}, which every word vocabulary has")


def _is_character(symbol: str) -> bool:
    return len(symbol) == 1 and not 0xD800 <= ord(symbol) < 0xE000  # surrogates are half characters


def _is_word(symbol: str) -> bool:
    return symbol.split() == [symbol]
