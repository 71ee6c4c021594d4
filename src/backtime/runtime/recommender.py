"""A trained recommender on NumPy and the engine alone."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from backtime.data.lexicon import Lexicon
from backtime.data.sessions import Session, names_of, read_sessions
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.recommender_config import RecommenderConfig
from backtime.reference.weights import Array
from backtime.runtime.layers import Layers, above
from backtime.runtime.predictor import Row

TOP = 20


class Recommender:
    """Says of each session which items are the likeliest to come next."""

    def __init__(self, file: ModelFile) -> None:
        """Take the weights of a model file."""
        if not isinstance(file.config, RecommenderConfig):
            raise UsageError(f"a model for the task {file.task!r}; expected one that recommends items")
        self.config, self.tensors = file.config, file.tensors
        self.items, self.names = Lexicon.from_json(file.encoding["items"]), names_of(file.encoding)
        self.layers = Layers(self.config, self.tensors, "rnn")

    def read(self, source: Path | None) -> Iterator[Session]:
        """The sessions of a file."""
        return iter(read_sessions(source, self.names))

    def predict(self, records: Iterable[Session | Sequence[str]], top: int = TOP) -> Iterator[Row]:
        """For each session, or list of items, the ``top`` likeliest next items and their probabilities.

        An item that was not in training is read as one that nobody knows, and is never recommended.
        """
        for number, record in enumerate(records, 1):
            own = record if isinstance(record, Session) else Session(str(number), list(record))
            if not own.items:
                raise UsageError(f"session {number} is empty; expected items")
            p = self.probabilities(own.items)
            best = np.argsort(-p, kind="stable")[:top]
            yield {
                "session": own.name,
                "items": [self.items.symbols[n] for n in best],
                "probabilities": [round(float(p[n]), 6) for n in best],
            }

    def probabilities(self, items: Sequence[str]) -> Array:
        """Of each item to come next, (V,); the unknown one has none."""
        rows = self.tensors["embedding.weight"][self.items.numbers(items)]
        _, last = self.layers.run(rows, np.ones(len(rows), np.int64))
        (h,) = above(self.config, self.tensors, last)
        z = (self.tensors["head.weight"] @ h + self.tensors["head.bias"]).astype(np.float64)
        z[0] = -np.inf
        p = np.exp(z - z.max())
        found: Array = p / p.sum()
        return found
