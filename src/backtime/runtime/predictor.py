"""What ``evaluate``, ``predict`` and ``sample`` ask of a trained model, whatever it was trained for."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

Row = dict[str, Any]  # names and plain values: what JSON and a table can say


class Predictor(Protocol):
    """A trained model in use; one whose network runs on NumPy and the engine needs no PyTorch."""

    def read(self, source: Path | None) -> Iterator[Any]:
        """The records of a file or folder, or with None of standard input, one after the other as they come.

        Raises ``UsageError`` naming file and line where one cannot be read.
        """

    def predict(self, records: Iterable[Any]) -> Iterator[Row]:
        """A row for each record, as it comes; every row has the same names.

        Raises ``UsageError`` naming the record that the model cannot take.
        """


class Writer(Predictor, Protocol):
    """A predictor that can also make something up."""

    def sample(self, **options: Any) -> Iterator[str]:
        """What is made up, in pieces as they come; the options are the task's."""


class Ranker(Predictor, Protocol):
    """A predictor that can also tell what is the most like a text."""

    def rank(self, source: Path | None, query: str, top: int | None = None) -> Iterator[Row]:
        """A row for each line of a file, or of the first ``top``, the most like ``query`` first."""
