"""Words, characters, tags or labels as numbers and back. NumPy only, so that the runtime can use it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backtime.errors import UnknownValueError, UsageError, shown

OTHERS = "<unk>"


@dataclass(frozen=True)
class Lexicon:
    """The symbols of one ``kind`` (word, character, tag, label); a symbol's number is its place.

    An ``open`` lexicon has ``<unk>`` as its first symbol, which stands for all that it lacks; a closed one
    raises ``UnknownValueError``.
    """

    kind: str
    symbols: list[str]
    open: bool = False

    def __post_init__(self) -> None:
        """Check the symbols."""
        if len(self._numbers) != len(self.symbols):
            raise UsageError(f"a {self.kind} comes twice among the {self.kind}s; expected each once")
        if self.open and self.symbols[:1] != [OTHERS]:
            raise UsageError(f"the {self.kind}s do not begin with {OTHERS}")

    def __len__(self) -> int:
        """The number of symbols."""
        return len(self.symbols)

    def number(self, symbol: str) -> int:
        """The number of a symbol."""
        found = self._numbers.get(symbol)
        if found is None and not self.open:
            some = ", ".join(self.symbols[:8]) + (", ..." if len(self) > 8 else "")
            raise UnknownValueError(
                f"the {self.kind} {shown(symbol)} was not in training; expected one of {some}"
            )
        return found or 0

    def numbers(self, symbols: Iterable[str]) -> list[int]:
        """The numbers of symbols."""
        if self.open:
            find = self._numbers.get
            return [find(symbol, 0) for symbol in symbols]
        return [self.number(symbol) for symbol in symbols]

    def to_json(self) -> dict[str, Any]:
        """The lexicon as a value for JSON; ``from_json`` reads it back equal."""
        return {"kind": self.kind, "symbols": self.symbols, "open": self.open}

    @classmethod
    def from_json(cls, value: Any) -> "Lexicon":
        """The lexicon of ``to_json``'s value; raises ``UsageError`` when it is something else."""
        fits = isinstance(value, dict) and {"kind": str, "symbols": list, "open": bool} == {
            name: type(part) for name, part in value.items()
        }
        if not fits or not all(isinstance(symbol, str) for symbol in value["symbols"]):
            raise UsageError(f"a lexicon is {shown(value)}; expected kind, symbols and open")
        return cls(**value)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols)}


def closed(kind: str, symbols: Iterable[str]) -> Lexicon:
    """All the symbols that come, sorted."""
    return Lexicon(kind, sorted(set(symbols)))


def opened(kind: str, counts: dict[str, int], least: int = 1) -> Lexicon:
    """``<unk>``, then the symbols that come ``least`` times and more, the most frequent first."""
    kept = [symbol for symbol, count in counts.items() if count >= least and symbol != OTHERS]
    return Lexicon(kind, [OTHERS, *sorted(kept, key=lambda symbol: (-counts[symbol], symbol))], True)


def unread(records: Iterable[ArrayLike], size: int, share: float) -> NDArray[np.float64]:
    """For each of ``size`` numbers the probability that training reads it as 0, the unknown symbol.

    It is a / (a + n) for a symbol that came n times in the records, with a = ``share``: so the unknown symbol
    has been met in training, in place of rare ones. Kiperwasser and Goldberg (2016), arXiv 1603.04351.
    """
    counts = np.zeros(size)
    for numbers in records:
        np.add.at(counts, np.asarray(numbers), 1)
    return np.divide(share, share + counts, out=np.zeros(size), where=share + counts > 0)


def with_unread(numbers: NDArray[Any], unread: NDArray[np.float64]) -> NDArray[Any]:
    """The numbers, some read as 0 by the probabilities of ``unread``; drawn from NumPy's generator."""
    return np.where(np.random.random(len(numbers)) < unread[numbers], 0, numbers)
