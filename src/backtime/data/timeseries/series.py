"""One series of numbers with its times."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.data.timeseries.times import Times

Values = NDArray[np.float64]


class Series(NamedTuple):
    """One series without a gap: times (N,), values (N, C) in the order of ``Columns.numbers``.

    The first ``observed`` rows have every value, the rest only those that are known ahead. ``numbers`` (N,)
    are the rows in the table, ``source`` what to call them.
    """

    name: str
    times: Times
    values: Values
    observed: int
    numbers: list[int]
    source: str

    def at(self, n: int) -> str:
        """The place of a row, for a complaint."""
        return f"{self.source} {self.numbers[n]}"

    def first(self, number: int) -> "Series":
        """The first rows."""
        return self.piece(0, number)

    @property
    def title(self) -> str:
        """The name for a complaint."""
        return f"series {self.name!r}" if self.name else "the series"

    def piece(self, start: int, end: int) -> "Series":
        """The rows from one to before another."""
        observed = max(0, min(self.observed, end) - start)
        numbers = self.numbers[start:end]
        return Series(
            self.name, self.times[start:end], self.values[start:end], observed, numbers, self.source
        )
