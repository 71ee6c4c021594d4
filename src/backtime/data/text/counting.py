"""A vocabulary from a text, counted in pieces and in bounded memory."""

import heapq
from collections import Counter
from collections.abc import Iterable

import numpy as np

import backtime.data.text.subwords as subwords
from backtime.data.text.symbols import Special, code_points, split_words
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError

DISTINCT_WORDS = 1_000_000  # counted at a time; about 130 MB


def count_vocabulary(
    pieces: Iterable[str], level: str, vocabulary_size: int | None = None, special: Special | None = None
) -> Vocabulary:
    """The vocabulary of a text given in pieces (at word level, pieces that end between words; at
    subword level, as ``subwords.whole_parts`` ends them).

    Char level: all its characters, sorted by code point; byte level: the 256 bytes, ``pieces`` are not read.
    Word level: the ``special`` words, which are ``<unk>`` and ``<eos>``, and all others, the more frequent
    first, equally frequent ones by code points; of them the most frequent where ``vocabulary_size`` says how
    many symbols there may be. Raises ``UsageError`` on a text without symbols, on a ``vocabulary_size`` below
    3, and without one on a text of more than ``DISTINCT_WORDS`` words.

    Subword level: at most ``vocabulary_size`` symbols (8,000), learned by ``subwords``.
    """
    if level == "char":
        return Vocabulary("char", _characters(pieces))
    if level == "subword":
        size = subwords.SIZE if vocabulary_size is None else vocabulary_size
        return Vocabulary("subword", *subwords.learn(pieces, size))
    if level == "word":
        special = special or Special()
        if vocabulary_size is not None and vocabulary_size < 3:
            least = f"at least 3: {special.unknown}, {special.end_of_line} and a word"
            raise UsageError(f"vocabulary_size is {vocabulary_size}; expected {least}")
        return Vocabulary("word", _words(pieces, vocabulary_size, special), special=special)
    return Vocabulary(level)


class WordCounts:
    """How often each word comes, for at most ``limit`` distinct words at a time.

    When there are more, the rarest are forgotten: those seen once, at the next time those seen twice or
    once, and so on. A forgotten word that comes again starts from zero; the counts of all others are exact.
    """

    def __init__(self, limit: int = DISTINCT_WORDS) -> None:
        """Nothing counted yet."""
        self.limit, self.rare = limit, 0
        self.counts: Counter[str] = Counter()

    def update(self, words: Iterable[str]) -> None:
        """Count some words more."""
        self.counts.update(words)
        while len(self.counts) > self.limit:
            self.rare += 1
            for word in [word for word, count in self.counts.items() if count <= self.rare]:
                del self.counts[word]

    def most_frequent(self, number: int) -> list[str]:
        """The ``number`` most frequent words, equally frequent ones by code points."""
        order = ((-count, word) for word, count in self.counts.items())
        return [word for _, word in heapq.nsmallest(number, order)]

    def all(self) -> list[str]:
        """All words, in that order; raises ``UsageError`` where some were forgotten."""
        if self.rare:
            raise UsageError(
                f"the text has more than {self.limit:,} different words; expected --vocabulary-size, "
                "how many of them to keep"
            )
        return self.most_frequent(len(self.counts))


def _characters(pieces: Iterable[str]) -> list[str]:
    seen = np.zeros(0x110000, np.bool_)  # one for every code point there is
    for piece in pieces:
        seen[code_points(piece)] = True
    return [chr(point) for point in np.flatnonzero(seen)]


def _words(pieces: Iterable[str], size: int | None, special: Special) -> list[str]:
    words = WordCounts()
    for piece in pieces:
        words.update(split_words(piece, special.end_of_line))
    for word in special:
        words.counts.pop(word, None)
    return [*special, *(words.all() if size is None else words.most_frequent(size - len(special)))]
