"""What the verbs ask of a trained model, whatever it was trained for."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

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


@runtime_checkable
class JsonPredictor(Predictor, Protocol):
    """A predictor for ``backtime serve``: its records may come as JSON and in files that are sent."""

    @property
    def json_records(self) -> str:
        """What records look like in JSON, for people: ``"texts"``."""

    @property
    def file_endings(self) -> tuple[str, ...]:
        """Endings of files that may be sent: none names other files, or may unfold to many times its size."""

    def from_json(self, values: list[Any]) -> list[Any]:
        """The records that values from JSON stand for; ``UsageError`` names one by its number."""


class Prepared(NamedTuple):
    """A record as its network reads it, and how many steps the engine is to make for it."""

    value: Any
    steps: int


@runtime_checkable
class GroupPredictor(JsonPredictor, Protocol):
    """A predictor whose records can share calls of the engine: see ``groups.Grouped``."""

    def prepare(self, record: Any, number: int) -> Prepared:
        """A record and its number, from 1, checked; raises ``UsageError`` where the model cannot take it."""

    def answers(self, values: Sequence[Any]) -> list[list[Row]]:
        """The rows of each value that ``prepare`` gave, in any company the same to the bit.

        Raises ``UsageError`` where an answer is no finite number.
        """


class Writer(Predictor, Protocol):
    """A predictor that can also make something up."""

    def sample(self, **options: Any) -> Iterator[str]:
        """What is made up, in pieces as they come; the options are the task's."""


class Ranker(Predictor, Protocol):
    """A predictor that can also tell what is the most like a text."""

    def rank(self, source: Path | None, query: str, top: int | None = None) -> Iterator[Row]:
        """A row for each line of a file, or of the first ``top``, the most like ``query`` first."""
