"""Sentences side by side: their words, and the spelling of each different word once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import pack
from backtime.data.lexicon import Lexicon

Numbers = NDArray[np.int64]


class WordBatch(NamedTuple):
    """Sentences as packed rows, and the characters of their D different words as packed rows.

    - ``words`` (R,): the number of each word; ``batch_sizes`` (T,): how many sentences have each step
    - ``letters`` (Q,) and ``letter_sizes``: the same of the characters of the different words, longest first
    - ``spelled`` (R,): which of the different words each word is
    """

    words: Numbers
    batch_sizes: Numbers
    letters: Numbers
    letter_sizes: Numbers
    spelled: Numbers


def word_batch(sentences: Sequence[Sequence[str]], words: Lexicon, characters: Lexicon) -> WordBatch:
    """The batch of sentences, the longest first. Words are looked up without their case, spelled with it."""
    distinct = sorted(
        {word for sentence in sentences for word in sentence}, key=lambda word: (-len(word), word)
    )
    places = {word: place for place, word in enumerate(distinct)}
    spelled = pack([np.array([places[word] for word in sentence], np.int64) for sentence in sentences])
    letters = pack([np.array(characters.numbers(word), np.int64) for word in distinct])
    numbers = np.array(words.numbers(word.lower() for word in distinct), np.int64)
    which = spelled.rows.astype(np.int64)
    return WordBatch(
        numbers[which], spelled.batch_sizes, letters.rows.astype(np.int64), letters.batch_sizes, which
    )
