"""Tagged sentences to train a tagger on, and how their words, characters and tags become numbers."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.words import WordBatch, word_batch
from backtime.data.columns import Places, Sentence, read_tagged
from backtime.data.lexicon import Lexicon, closed, opened
from backtime.errors import UnknownValueError, UsageError

PARTS = ("words", "characters", "tags")
Lexicons = dict[str, Lexicon]


@dataclass(frozen=True)
class Tagged:
    """Tagged sentences, those to validate on, and how words, characters and tags are numbered."""

    training: list[Sentence]
    held_out: list[Sentence]
    lexicons: Lexicons
    columns: Places

    @property
    def fingerprint(self) -> str:
        """Of all words and tags."""
        content = [[sentence[:2] for sentence in part] for part in (self.training, self.held_out)]
        return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()

    @property
    def encoding(self) -> dict[str, Any]:
        """The lexicons, and where the file has words and tags."""
        return {name: self.lexicons[name].to_json() for name in PARTS} | {"columns": asdict(self.columns)}

    def describe(self) -> str:
        """Sentences, words and tags."""
        words = sum(len(sentence.words) for sentence in self.training)
        sizes = f"{len(self.training):,} sentences of {words:,} words"
        return f"{sizes}, {len(self.held_out):,} to validate on, {len(self.lexicons['tags'])} tags"


def read_lexicons(encoding: dict[str, Any]) -> Lexicons:
    """Those of a model file."""
    return {name: Lexicon.from_json(encoding[name]) for name in PARTS}


def count_lexicons(sentences: list[Sentence], min_count: int) -> Lexicons:
    """Those of the sentences: words that come ``min_count`` times, all characters, all tags."""
    words = Counter(word for sentence in sentences for word in sentence.words)
    lower: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for word, count in words.items():
        lower[word.lower()] += count
        for character in word:
            characters[character] += count
    tags = closed("tag", (tag for sentence in sentences for tag in sentence.tags))
    if len(tags) < 2:
        raise UsageError(
            f"{sentences[0].place}: all words have the tag {tags.symbols[0]!r}; expected two and more"
        )
    return {
        "words": opened("word", lower, min_count),
        "characters": opened("character", characters),
        "tags": tags,
    }


def tag_numbers(sentence: Sentence, lexicons: Lexicons) -> NDArray[np.int64]:
    """The numbers (T,) of a sentence's tags; raises ``UnknownValueError`` with its place at one unknown."""
    try:
        return np.array(lexicons["tags"].numbers(sentence.tags), np.int64)
    except UnknownValueError as error:
        raise UnknownValueError(f"{sentence.place}: {error}") from error


def batch_of(sentences: Sequence[Sentence], lexicons: Lexicons) -> WordBatch:
    """The words of sentences, the longest first."""
    return word_batch([sentence.words for sentence in sentences], lexicons["words"], lexicons["characters"])


def has_entities(tags: Lexicon) -> bool:
    """Whether the tags are those of entities: B-X I-X O."""
    return any(tag.startswith("B-") for tag in tags.symbols)


def read_parts(
    source: Path, valid_file: Path | None, share: float, columns: Places
) -> tuple[list[Sentence], list[Sentence]]:
    """The sentences to train on, and those to validate on: a file's, or a share at the end of the others."""
    sentences = list(read_tagged(source, columns))
    if valid_file is not None:
        held_out = list(read_tagged(valid_file, columns))
    else:
        border = len(sentences) - round(len(sentences) * share)
        sentences, held_out = sentences[:border], sentences[border:]
    if not sentences:
        raise UsageError(f"{source} has no sentences to train on; expected words and their tags")
    return sentences, held_out
