"""A trained tagger on NumPy and the engine alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import backtime.runtime.json_records as json_records
from backtime.data.batching.words import word_batch
from backtime.data.columns import Sentence, read_untagged
from backtime.data.lexicon import Lexicon
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.tagger_config import TaggerConfig
from backtime.reference.weights import Array
from backtime.runtime.groups import Grouped, longest_first
from backtime.runtime.layers import Layers, above, product
from backtime.runtime.predictor import Prepared, Row
from backtime.runtime.viterbi import best_paths, field_of, marginals


class Words(NamedTuple):
    """A sentence and its number, from 1."""

    words: list[str]
    number: int


class Tagger(Grouped):
    """Tags sentences: of each word the likeliest tag, or with a CRF of each sentence the likeliest tags."""

    json_records, file_endings = "texts, or lists of words", (".txt", ".conllu", ".conll")

    def __init__(self, file: ModelFile) -> None:
        """Take the weights of a model file."""
        if not isinstance(file.config, TaggerConfig):
            raise UsageError(f"a model for the task {file.task!r}; expected one that tags words")
        self.config, self.tensors = file.config, file.tensors
        self.words, self.characters, self.tags = (
            Lexicon.from_json(file.encoding[name]) for name in ("words", "characters", "tags")
        )
        self.spelling = Layers(self.config.spelling, self.tensors, "spelling")
        self.layers = Layers(self.config, self.tensors, "rnn")
        self.field = field_of(self.tensors) if self.config.crf else None

    def read(self, source: Path | None) -> Iterator[Sentence]:
        """The sentences of a file or of standard input: see ``data.columns.read_untagged``."""
        return read_untagged(source)

    def from_json(self, values: list[Any]) -> list[str | list[str]]:
        """Texts, and lists of words."""
        return [
            json_records.text(own, n)
            if isinstance(own, str)
            else json_records.names(own, n, "a list of words")
            for n, own in enumerate(values, 1)
        ]

    def prepare(self, record: Sentence | str | Sequence[str], number: int) -> Prepared:
        """The words of a ``Sentence``, a text, or a list of words."""
        words = _words(record)
        if not words:
            raise UsageError(f"sentence {number} is empty; expected words")
        return Prepared(Words(words, number), len(words) + sum(map(len, words)))

    def answers(self, values: Sequence[Words]) -> list[list[Row]]:
        """Words and tags of each sentence."""
        sentences, places = longest_first([own.words for own in values], [len(own.words) for own in values])
        tags = self.tag(sentences)
        return [
            [{"sentence": own.number, "words": own.words, "tags": tags[place]}]
            for own, place in zip(values, places, strict=True)
        ]

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """The tags of sentences, the longest first."""
        paths = best_paths(*self.scores(sentences), self.field)
        return [[self.tags.symbols[tag] for tag in path] for path in paths]

    def shares(self, words: Sequence[str]) -> NDArray[np.float64]:
        """The probabilities (T, L) of the tags at each word of a sentence."""
        z, _ = self.scores([words])
        return marginals(z.astype(np.float64), self.field)

    def scores(self, sentences: Sequence[Sequence[str]]) -> tuple[Array, NDArray[np.int64]]:
        """Scores (R, L) of the tags at each word of sentences, the longest first, in packed rows."""
        tensors, batch = self.tensors, word_batch(sentences, self.words, self.characters)
        _, spelled = self.spelling.run(tensors["characters.weight"][batch.letters], batch.letter_sizes)
        x = np.concatenate([tensors["words.weight"][batch.words], spelled[batch.spelled]], 1)
        y, _ = self.layers.run(x, batch.batch_sizes)
        y = above(self.config, tensors, y)
        return product(y, tensors["head.weight"]) + tensors["head.bias"], batch.batch_sizes


def _words(record: Sentence | str | Sequence[str]) -> list[str]:
    if isinstance(record, Sentence):
        return record.words
    return record.split() if isinstance(record, str) else list(record)
