"""Networks that read whole examples, on NumPy and the engine alone: what classifier and regressor share."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from backtime.data.batching.buckets import Packed
from backtime.data.batching.steps import Encoder
from backtime.data.examples import Example, example
from backtime.data.labelled import Reading, read_unlabelled
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.reference.weights import Array
from backtime.runtime.sequence_encoder import SequenceEncoder


class ExampleReader:
    """Examples in, scores out: the vector of each whole example times the output layer."""

    def __init__(self, file: ModelFile) -> None:
        """Take the weights of a model file."""
        config: Any = file.config
        self.tensors = file.tensors
        self.encoder = Encoder.from_json(file.encoding)
        self.reading = Reading.from_json(file.encoding["reading"])
        self.network = SequenceEncoder(config, file.tensors)

    def read(self, source: Path | None) -> Iterator[Example]:
        """The examples of a file or folder, or the lines of standard input; labels need not be there."""
        return read_unlabelled(source, self.reading, self.encoder.symbols is not None)

    def scores(self, packed: Packed) -> Array:
        """Scores (B, K) of encoded examples in packed rows."""
        z: Array = self.network.vectors(packed) @ self.tensors["head.weight"].T + self.tensors["head.bias"]
        return z

    def each(self, records: Iterable[Any]) -> Iterator[tuple[Example, Array]]:
        """Each example, of texts and arrays (T, I) too, and its scores (K,), as it comes."""
        for number, record in enumerate(records, 1):
            own = _example(record, number)
            yield own, self.scores(self.encoder.batch([self.encoder.encode(own)]))[0].astype(np.float64)


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
