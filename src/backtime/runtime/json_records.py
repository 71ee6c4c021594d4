"""Values from JSON, checked: what the records of several tasks are made of."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UsageError, shown

LONGEST = 100_000  # steps of a record that is not text
LARGEST = 1e30  # of a number: its square is finite in float64


def wrong(number: int, value: Any, wanted: str) -> UsageError:
    """What is said of record ``number``."""
    return UsageError(f"record {number} is {shown(value)}; expected {wanted}")


def texts(values: list[Any]) -> list[str]:
    """Texts, none of them empty."""
    return [text(own, number) for number, own in enumerate(values, 1)]


def text(value: Any, number: int) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise wrong(number, value, "a text")
    return value


def names(value: Any, number: int, wanted: str) -> list[str]:
    """A list of texts, at least one, none of them empty; ``wanted`` says what they are."""
    if not isinstance(value, list) or not value or not all(isinstance(own, str) and own for own in value):
        raise wrong(number, value, wanted)
    return value


def is_number(value: Any) -> bool:
    """Whether it is a number to compute with; JSON as ``serve`` reads it has no NaN."""
    return type(value) in (int, float) and abs(value) < LARGEST


def steps(value: Any, number: int, width: int) -> NDArray[np.float64]:
    """Steps (T, ``width``), at least one."""
    wanted = f"a list of 1 to {LONGEST:,} steps, each a list of {width} numbers"
    if not isinstance(value, list) or not 1 <= len(value) <= LONGEST:
        raise wrong(number, value, wanted)
    if not all(isinstance(row, list) and len(row) == width and all(map(is_number, row)) for row in value):
        raise wrong(number, value, wanted)
    return np.array(value, np.float64)


def numbers(value: Any, number: int, most: int, wanted: str) -> list[float]:
    """1 to ``most`` numbers."""
    if not isinstance(value, list) or not 1 <= len(value) <= most or not all(map(is_number, value)):
        raise wrong(number, value, wanted)
    return value
