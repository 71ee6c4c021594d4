"""A trained network that compares texts, on NumPy and the engine alone."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import backtime.runtime.json_records as json_records
from backtime.data.lexicon import Lexicon
from backtime.data.pairs import read_sources
from backtime.data.scored_pairs import PairReading, ScoredPair, read_scored
from backtime.data.similar import Numbers, encoded, ordered
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.similarity_config import SimilarityConfig
from backtime.reference.weights import Array
from backtime.runtime.groups import Grouped
from backtime.runtime.predictor import Prepared, Row
from backtime.runtime.sequence_encoder import SequenceEncoder

AT_ONCE = 64  # texts of a file that is ranked


class Text(NamedTuple):
    """A text and where it is; ``number`` counts from 1."""

    content: str
    number: int
    place: str


class Compared(NamedTuple):
    """A pair, the numbers of the symbols of both texts, and the number of the pair, from 1."""

    pair: ScoredPair
    first: Numbers
    second: Numbers
    number: int


class Similarity(Grouped):
    """Says how alike two texts are, and which of many are the most like one."""

    json_records, file_endings = "lists of two texts", (".tsv",)

    def __init__(self, file: ModelFile) -> None:
        """Take the weights of a model file."""
        if not isinstance(file.config, SimilarityConfig):
            raise UsageError(f"a model for the task {file.task!r}; expected one that compares texts")
        self.tensors = file.tensors
        self.symbols = Lexicon.from_json(file.encoding["symbols"])
        self.reading = PairReading.from_json(file.encoding["reading"])
        self.network = SequenceEncoder(file.config, file.tensors)

    def read(self, source: Path | None) -> Iterator[ScoredPair]:
        """The pairs of a file, or of standard input; what is known of them need not be there."""
        return read_scored(source)

    def from_json(self, values: list[Any]) -> list[Any]:
        """Lists of two texts."""
        for number, own in enumerate(values, 1):
            if len(json_records.names(own, number, "a list of two texts")) != 2:
                raise json_records.wrong(number, own, "a list of two texts")
        return values

    def prepare(self, record: ScoredPair | Sequence[str], number: int) -> Prepared:
        """Both texts as numbers; raises ``UsageError`` where a pair has a score or label that is none."""
        own = _pair(record, number)
        if own.value:
            self.reading.cosine(own)
        first, second = (encoded(text, self.symbols, self.reading.level, own.place) for text in own[:2])
        return Prepared(Compared(own, first, second, number), len(first) + len(second))

    def answers(self, values: Sequence[Compared]) -> list[list[Row]]:
        """For each pair of texts the cosine of their vectors, and the score or label that it stands for."""
        vectors = self._of([text for own in values for text in (own.first, own.second)])
        cosines = [float((u * v).sum()) for u, v in zip(vectors[::2], vectors[1::2], strict=True)]
        return [[self._row(own, c)] for own, c in zip(values, cosines, strict=True)]

    def _row(self, own: Compared, cosine: float) -> Row:
        texts = {"first": own.pair.first, "second": own.pair.second}
        return {"record": own.number, **texts, "cosine": cosine, **self._answer(cosine)}

    def rank(self, source: Path | None, query: str, top: int | None = None) -> Iterator[Row]:
        """The lines of a file in the order of their cosine with ``query``, the largest first; of equal ones
        the one that comes first. Lines end at a tab. With ``top`` no more than so many are kept in memory.
        """
        lines = read_sources(source, "to compare")
        return self._ranked((Text(own.source, n, own.place) for n, own in enumerate(lines, 1)), query, top)

    def rank_texts(self, texts: Iterable[str], query: str, top: int | None = None) -> Iterator[Row]:
        """The same for texts; ``line`` is the number of a text, from 1."""
        return self._ranked(_numbered(texts), query, top)

    def vectors(self, texts: Sequence[str]) -> Array:
        """The vectors (N, P) of texts, each of length 1, in float64."""
        found = [self._vectors(part) for part in _parts(_numbered(texts))]
        return np.concatenate(found) if found else np.zeros((0, self.network.config.width))

    def _vectors(self, texts: Sequence[Text]) -> Array:
        return self._of([encoded(own.content, self.symbols, self.reading.level, own.place) for own in texts])

    def _of(self, records: Sequence[Numbers]) -> Array:
        packed, places = ordered(records)
        found = self.network.vectors(packed)[places].astype(np.float64)
        vectors: Array = found / np.maximum(np.sqrt((found * found).sum(1, keepdims=True)), 1e-12)
        return vectors

    def _answer(self, cosine: float) -> dict[str, Any]:
        """What a model of scores or labels says of a cosine."""
        if self.reading.target == "score":
            return {"score": self.reading.score(cosine)}
        if self.reading.target == "pairs":
            return {}
        scale, threshold = (float(self.tensors[name][0]) for name in ("log_scale", "threshold"))
        with np.errstate(over="ignore"):
            p = float(1 / (1 + np.exp(-np.exp(scale) * (cosine - threshold))))
        return {"label": "same" if cosine > threshold else "different", "probability": p}

    def _ranked(self, texts: Iterable[Text], query: str, top: int | None) -> Iterator[Row]:
        [wanted] = self._vectors([Text(query, 0, "the query")])
        scored = self._scored(texts, wanted)
        best = sorted(scored, key=_order) if top is None else heapq.nsmallest(top, scored, key=_order)
        for rank, (cosine, own) in enumerate(best, 1):
            yield {"rank": rank, "line": own.number, "cosine": cosine, "text": own.content}

    def _scored(self, texts: Iterable[Text], wanted: Array) -> Iterator[tuple[float, Text]]:
        for part in _parts(texts):
            yield from zip((self._vectors(part) * wanted).sum(1).tolist(), part, strict=True)


def _order(found: tuple[float, Text]) -> tuple[float, int]:
    return -found[0], found[1].number


def _numbered(texts: Iterable[str]) -> Iterator[Text]:
    return (Text(own, n, f"text {n}") for n, own in enumerate(texts, 1))


def _parts(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """Texts in groups that are read at once."""
    rest = iter(texts)
    while part := list(islice(rest, AT_ONCE)):
        yield part


def _pair(record: ScoredPair | Sequence[str], number: int) -> ScoredPair:
    if isinstance(record, ScoredPair):
        return record
    if isinstance(record, str) or len(record) != 2 or not all(isinstance(text, str) for text in record):
        raise UsageError(f"record {number} is {record!r}; expected two texts")
    return ScoredPair(record[0], record[1], "", f"record {number}")
