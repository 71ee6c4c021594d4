"""A trained classifier on NumPy and the engine alone."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import Packed, unpack
from backtime.data.batching.steps import Encoder
from backtime.data.examples import Example, example
from backtime.data.labelled import Reading, read_unlabelled
from backtime.data.lexicon import Lexicon
from backtime.errors import UnknownValueError, UsageError
from backtime.models.file import ModelFile
from backtime.models.reader_config import ReaderConfig
from backtime.reference.weights import Array
from backtime.runtime.layers import Layers, above
from backtime.runtime.predictor import Row


class Reader:
    """Says of each text or series which label it has, and how likely each label is."""

    def __init__(self, file: ModelFile) -> None:
        """Take the weights of a model file."""
        if not isinstance(file.config, ReaderConfig):
            raise UsageError(f"a model for the task {file.task!r}; expected one that classifies")
        self.config, self.tensors = file.config, file.tensors
        self.labels = Lexicon.from_json(file.encoding["labels"])
        self.encoder = Encoder.from_json(file.encoding)
        self.reading = Reading.from_json(file.encoding["reading"])
        self.layers = Layers(self.config, self.tensors, "rnn")

    def read(self, source: Path | None) -> Iterator[Example]:
        """The examples of a file or folder, or the lines of standard input; labels need not be there."""
        return read_unlabelled(source, self.reading, self.encoder.symbols is not None)

    def predict(self, records: Iterable[Any]) -> Iterator[Row]:
        """For each example, text or array (T, I) its likeliest label and the probability of every label.

        Raises ``UsageError`` where an example has a label that the model does not know.
        """
        for number, record in enumerate(records, 1):
            own = _example(record, number)
            if own.label is not None:
                _check_label(own, self.labels)
            z = self.scores(self.encoder.batch([self.encoder.encode(own)]))[0].astype(np.float64)
            p = np.exp(z - z.max())
            p /= p.sum()
            best = int(z.argmax())
            each = {label: float(own) for label, own in zip(self.labels.symbols, p, strict=True)}
            yield {
                "record": number,
                "label": self.labels.symbols[best],
                "probability": float(p[best]),
                "probabilities": each,
            }

    def scores(self, packed: Packed) -> Array:
        """Scores (B, K) of the labels of encoded examples in packed rows."""
        tensors, x = self.tensors, packed.rows
        if self.config.symbols:
            x = tensors["embedding.weight"][x]
        dtype = tensors["head.weight"].dtype
        y, last = self.layers.run(x.astype(dtype, copy=False), packed.batch_sizes)
        if self.config.pooling != "last":
            last = np.stack([self._pooled(own) for own in unpack(Packed(y, packed.batch_sizes))])
        last = above(self.config, tensors, last)
        z: Array = last @ tensors["head.weight"].T + tensors["head.bias"]
        return z

    def _pooled(self, y: NDArray[Any]) -> NDArray[Any]:
        """One vector (P,) of the outputs (T, P) of a sequence; see ``models.reader.Reader``."""
        if self.config.pooling != "attention":
            pooled: NDArray[Any] = y.mean(0) if self.config.pooling == "mean" else y.max(0)
            return pooled
        seen = np.tanh(y @ self.tensors["attention.weight"].T + self.tensors["attention.bias"])
        score = seen @ self.tensors["query"]
        weights = np.exp(score - score.max())
        return (weights / weights.sum()) @ y  # type: ignore[no-any-return]


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


def _check_label(own: Example, labels: Lexicon) -> None:
    try:
        labels.number(own.label or "")
    except UnknownValueError as error:
        raise UnknownValueError(f"{own.place}: {error}") from error
