"""A trained recommender on NumPy and the engine alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import backtime.runtime.json_records as json_records
from backtime.data.batching.buckets import pack
from backtime.data.lexicon import Lexicon
from backtime.data.sessions import Session, names_of, read_sessions
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.recommender_config import RecommenderConfig
from backtime.reference.weights import Array
from backtime.runtime.groups import Grouped, longest_first
from backtime.runtime.layers import Layers, above
from backtime.runtime.predictor import Prepared, Row

TOP = 20


class Items(NamedTuple):
    """The numbers (T,) of a session's items, and its name."""

    numbers: NDArray[np.int64]
    name: str


class Recommender(Grouped):
    """Says of each session which items are the likeliest to come next.

    An item that was not in training is read as one that nobody knows, and is never recommended.
    """

    json_records, file_endings = "lists of items", (".csv", ".tsv")

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

    def from_json(self, values: list[Any]) -> list[list[str]]:
        """Lists of items."""
        return [json_records.names(own, number, "a list of items") for number, own in enumerate(values, 1)]

    def prepare(self, record: Session | Sequence[str], number: int) -> Prepared:
        """A session, or a list of items, as numbers."""
        own = record if isinstance(record, Session) else Session(str(number), list(record))
        if not own.items:
            raise UsageError(f"session {number} is empty; expected items")
        return Prepared(Items(np.array(self.items.numbers(own.items), np.int64), own.name), len(own.items))

    def answers(self, values: Sequence[Items], top: int = TOP) -> list[list[Row]]:
        """For each session the ``top`` likeliest next items and their probabilities."""
        found = []
        for own, p in zip(values, self._probabilities([own.numbers for own in values]), strict=True):
            best = np.argsort(-p, kind="stable")[:top]
            row = {"session": own.name, "items": [self.items.symbols[n] for n in best]}
            found.append([row | {"probabilities": [round(float(p[n]), 6) for n in best]}])
        return found

    def probabilities(self, items: Sequence[str]) -> Array:
        """Of each item to come next, (V,); the unknown one has none."""
        [found] = self._probabilities([np.array(self.items.numbers(items), np.int64)])
        return found

    def _probabilities(self, sessions: Sequence[NDArray[np.int64]]) -> list[Array]:
        ordered, places = longest_first(sessions, [len(own) for own in sessions])
        packed = pack(ordered)
        _, last = self.layers.run(self.tensors["embedding.weight"][packed.rows], packed.batch_sizes)
        h = above(self.config, self.tensors, last)
        return [self._softmax(h[place]) for place in places]

    def _softmax(self, h: Array) -> Array:
        z = (self.tensors["head.weight"] @ h + self.tensors["head.bias"]).astype(np.float64)
        z[0] = -np.inf
        p = np.exp(z - z.max())
        found: Array = p / p.sum()
        return found
