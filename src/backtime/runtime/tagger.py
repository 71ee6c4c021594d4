"""A trained tagger on NumPy and the engine alone."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.words import word_batch
from backtime.data.columns import Sentence, read_untagged
from backtime.data.lexicon import Lexicon
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.tagger_config import TaggerConfig
from backtime.reference.weights import Array
from backtime.runtime.layers import Layers, above
from backtime.runtime.predictor import Row
from backtime.runtime.viterbi import best_paths, field_of, marginals


class Tagger:
    """Tags sentences: of each word the likeliest tag, or with a CRF of each sentence the likeliest tags."""

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

    def predict(self, records: Iterable[Sentence | str | Sequence[str]]) -> Iterator[Row]:
        """Words and tags of each sentence: a ``Sentence``, a text, or a list of words."""
        for number, record in enumerate(records, 1):
            words = _words(record)
            if not words:
                raise UsageError(f"sentence {number} is empty; expected words")
            yield {"sentence": number, "words": words, "tags": self.tag([words])[0]}

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
        return y @ tensors["head.weight"].T + tensors["head.bias"], batch.batch_sizes


def _words(record: Sentence | str | Sequence[str]) -> list[str]:
    if isinstance(record, Sentence):
        return record.words
    return record.split() if isinstance(record, str) else list(record)
