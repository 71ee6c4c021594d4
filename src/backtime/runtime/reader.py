"""A trained classifier on NumPy and the engine alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from backtime.data.examples import Example
from backtime.data.lexicon import Lexicon
from backtime.errors import UnknownValueError, UsageError
from backtime.models.file import ModelFile
from backtime.models.reader_config import ReaderConfig
from backtime.reference.weights import Array
from backtime.runtime.example_reader import Encoded, ExampleReader
from backtime.runtime.predictor import Prepared, Row


class Reader(ExampleReader):
    """Says of each text or series which label it has, and how likely each label is."""

    def __init__(self, file: ModelFile) -> None:
        """Take the weights of a model file."""
        if not isinstance(file.config, ReaderConfig):
            raise UsageError(f"a model for the task {file.task!r}; expected one that classifies")
        super().__init__(file)
        self.labels = Lexicon.from_json(file.encoding["labels"])

    def prepare(self, record: Any, number: int) -> Prepared:
        """As numbers; raises ``UsageError`` where an example has a label that the model does not know."""
        if isinstance(record, Example) and record.label is not None:
            _check_label(record, self.labels)
        return super().prepare(record, number)

    def answers(self, values: Sequence[Encoded]) -> list[list[Row]]:
        """For each example, text or array (T, I) its likeliest label and the probability of every label."""
        scored = zip(values, self.scores_of(values), strict=True)
        return [[{"record": own.number, **self._labelled(z)}] for own, z in scored]

    def _labelled(self, z: Array) -> Row:
        p = np.exp(z - z.max())
        p /= p.sum()
        best = int(z.argmax())
        each = {label: float(share) for label, share in zip(self.labels.symbols, p, strict=True)}
        return {"label": self.labels.symbols[best], "probability": float(p[best]), "probabilities": each}


def _check_label(own: Example, labels: Lexicon) -> None:
    try:
        labels.number(own.label or "")
    except UnknownValueError as error:
        raise UnknownValueError(f"{own.place}: {error}") from error
