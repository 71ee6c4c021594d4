"""Pieces of words, learned from a text by byte pair encoding (Sennrich et al., arXiv 1508.07909).

The work is done by the library tokenizers (the optional extra ``subword``). A text is cut at its newlines,
which are symbols of their own, and before its words, which keep the space before them; within these parts the
bytes of UTF-8 are joined, pair by pair, the most frequent pair first. Any text can be written so, and comes
back as it was.

A symbol is written in the library's alphabet of 256 characters, one for each byte: 32 is ``Ġ``, 10 is ``Ċ``.
"""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UsageError, shown

SIZE = 8000  # symbols, where nothing else is said
LEAST_COUNT = 2  # of a pair that is joined: what comes once is learned by heart
BYTES = 256
LINES = re.compile(r"(?<=\n)")  # after each newline
BORDER = re.compile(r".*\S(?=[ \n])", re.DOTALL)  # up to the last space or newline after something else


def learn(pieces: Iterable[str], vocabulary_size: int) -> tuple[list[str], list[str]]:
    """Symbols and joined pairs (``"a b"``, in order) of a text in pieces as ``whole_parts`` makes them.

    Raises ``UsageError`` on a ``vocabulary_size`` below 257.
    """
    if vocabulary_size <= BYTES:
        least = f"at least {BYTES + 1}: the {BYTES} bytes and a pair of them"
        raise UsageError(f"vocabulary_size is {vocabulary_size}; expected {least}")
    library = _library()
    alphabet = list(byte_of())
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocabulary_size, min_frequency=LEAST_COUNT, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer = _tokenizer(library.models.BPE())
    tokenizer.train_from_iterator(_lines(pieces), trainer)
    numbers = tokenizer.get_vocab()
    merges = json.loads(tokenizer.to_str())["model"]["merges"]  # which nothing else tells
    joined = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]  # text before 0.20
    return sorted(numbers, key=lambda symbol: numbers[symbol]), joined


class Encoder:
    """Text to symbol numbers, by the pairs that were learned."""

    def __init__(self, symbols: list[str], merges: list[str]) -> None:
        """Raises ``UsageError`` where the library is missing."""
        numbers = {symbol: number for number, symbol in enumerate(symbols)}
        pairs = [_pair(merge) for merge in merges]
        self.tokenizer = _tokenizer(_library().models.BPE(numbers, pairs))

    def encode(self, text: str) -> NDArray[np.int32]:
        """The numbers of ``text``, int32; raises ``UsageError`` at half a character."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"the text has half a character, {shown(text[error.start])}") from error
        found = self.tokenizer.encode_batch(LINES.split(text), add_special_tokens=False)
        return np.concatenate([np.zeros(0, np.int32), *(np.array(own.ids, np.int32) for own in found)])


@cache
def byte_of() -> dict[str, int]:
    """The byte that each character of the alphabet stands for, in the order of the bytes.

    Printing characters of Latin-1 stand for themselves; the others follow from U+0100 on.
    """
    themselves = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return {chr(byte if byte in themselves else next(others)): byte for byte in range(BYTES)}


def check_pieces(symbols: list[str], merges: list[str]) -> None:
    """Raise ``UsageError`` unless the pairs make the symbols: the bytes, and one for each pair."""
    known, alphabet = set(symbols), byte_of()
    if missing := sorted(alphabet.keys() - known):
        raise UsageError(f"symbols lack {shown(missing[0])}, the byte {alphabet[missing[0]]}")
    made = set(alphabet)
    for number, merge in enumerate(merges):
        pair = _pair(merge)
        if len(pair) != 2 or not made.issuperset(pair):
            raise UsageError(f"pair {number} is {shown(merge)}; expected two symbols known before it")
        made.add("".join(pair))
    if made != known:
        raise UsageError(f"symbols are {len(known)}; expected the {len(made)} that the pairs make")


def whole_parts(pieces: Iterable[str], longest: int) -> Iterator[str]:
    """The same text in pieces that end where no symbol is cut: before a space or newline, after neither."""
    held = ""
    for piece in pieces:
        text = held + piece
        border = BORDER.match(text)
        at = border.end() if border else 0
        held = text[at:]
        if len(held) > longest:
            raise UsageError(f"the text has a word of over {longest:,} characters; use --level byte")
        if at:
            yield text[:at]
    if held:
        yield held


def _pair(merge: str) -> tuple[str, ...]:
    return tuple(merge.split(" "))


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    for piece in pieces:
        yield from LINES.split(piece)


def _tokenizer(model: Any) -> Any:
    library = _library()
    tokenizer = library.Tokenizer(model)
    cut = library.pre_tokenizers
    parts = [cut.Split("\n", "isolated"), cut.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = cut.Sequence(parts)
    return tokenizer


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise UsageError("--level subword needs tokenizers: pip install 'backtime[subword]'") from error
    return tokenizers
