"""Networks that read whole examples, on NumPy and the engine alone: what classifier and regressor share."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import backtime.runtime.json_records as json_records
from backtime.data.batching.buckets import Packed
from backtime.data.batching.steps import Encoder
from backtime.data.examples import Example, example
from backtime.data.labelled import Reading, read_unlabelled
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.reference.weights import Array
from backtime.runtime.groups import Grouped, longest_first
from backtime.runtime.layers import product
from backtime.runtime.predictor import Prepared
from backtime.runtime.sequence_encoder import SequenceEncoder


class Encoded(NamedTuple):
    """An example as numbers, symbols (T,) or steps (T, I), and its number, from 1."""

    steps: Array
    number: int


class ExampleReader(Grouped):
    """Examples in, scores out: the vector of each whole example times the output layer."""

    file_endings = (".txt", ".csv", ".tsv", ".jsonl", ".ts", ".png", ".jpg", ".jpeg")

    def __init__(self, file: ModelFile) -> None:
        """Take the weights of a model file."""
        config: Any = file.config
        self.tensors = file.tensors
        self.encoder = Encoder.from_json(file.encoding)
        self.reading = Reading.from_json(file.encoding["reading"])
        self.network = SequenceEncoder(config, file.tensors)

    @property
    def json_records(self) -> str:
        """Texts or steps, as in training."""
        if self.encoder.symbols is not None:
            return "texts"
        return f"lists of steps, each a list of {self.network.config.channels} numbers"

    def from_json(self, values: list[Any]) -> list[Any]:
        """Texts, or arrays (T, I)."""
        if self.encoder.symbols is not None:
            return json_records.texts(values)
        width = self.network.config.channels
        return [json_records.steps(own, number, width) for number, own in enumerate(values, 1)]

    def read(self, source: Path | None) -> Iterator[Example]:
        """The examples of a file or folder, or the lines of standard input; labels need not be there."""
        return read_unlabelled(source, self.reading, self.encoder.symbols is not None)

    def scores(self, packed: Packed) -> Array:
        """Scores (B, K) of encoded examples in packed rows."""
        z = product(self.network.vectors(packed), self.tensors["head.weight"])
        return z + self.tensors["head.bias"]

    def prepare(self, record: Any, number: int) -> Prepared:
        """An ``Example``, a text or an array (T, I), as numbers."""
        steps = self.encoder.encode(_example(record, number))
        return Prepared(Encoded(steps, number), len(steps))

    def scores_of(self, values: Sequence[Encoded]) -> list[Array]:
        """The scores (K,) of each, in float64."""
        steps, places = longest_first([own.steps for own in values], [len(own.steps) for own in values])
        z = self.scores(self.encoder.batch(steps)).astype(np.float64)
        return [z[place] for place in places]


def _example(record: Any, number: int) -> Example:
    if isinstance(record, Example):
        return record
    place = f"record {number}"
    if isinstance(record, str):
        return example(record, None, place, False)
    steps = np.asarray(record)
    if steps.ndim != 2 or steps.dtype.kind not in "iuf":
        raise UsageError(f"{place} has shape {steps.shape}, type {steps.dtype}; expected numbers (T, I)")
    return Example(steps, None, place)
