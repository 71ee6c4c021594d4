"""What the columns of a table are for."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from backtime.data.timeseries.table import EXAMPLE, Table
from backtime.data.timeseries.times import find_format
from backtime.errors import UsageError, shown


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are for.

    - ``time``, and ``series``, which names the series that a row belongs to (empty: there is one)
    - ``targets`` are forecast; ``past`` is known up to now; ``known`` is known ahead too: prices, holidays
    - ``format``: that of the times, as ``strptime`` has it, or ``"number"``
    """

    time: str
    targets: tuple[str, ...]
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    series: str = ""
    format: str = "%Y-%m-%d"

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns of numbers, in the order of a series' values."""
        return (*self.targets, *self.past, *self.known)

    def to_json(self) -> dict[str, Any]:
        """The fields as a value for JSON."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Any) -> "Columns":
        """The columns of ``to_json``'s value; raises ``UsageError`` when it is something else."""
        names = [field.name for field in fields(cls)]
        if not isinstance(value, dict) or sorted(value) != sorted(names):
            raise UsageError(f"columns are {shown(value)}; expected an object of {', '.join(names)}")
        for name, own in value.items():
            listed = name in ("targets", "past", "known")
            if not (_is_texts(own) if listed else isinstance(own, str)):
                raise UsageError(f"{name} is {shown(own)}; expected {'names' if listed else 'a text'}")
        lists = {name: tuple(v) for name, v in value.items() if isinstance(v, list)}
        return cls(**{**value, **lists})


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(own, str) for own in value)


def choose_columns(
    table: Table,
    time: str = "",
    targets: Iterable[str] = (),
    past: Iterable[str] = (),
    known: Iterable[str] = (),
    series: str = "",
    time_format: str = "",
) -> Columns:
    """The roles of a table's columns: the first is the time, and what has no role is a target.

    Raises ``UsageError`` where a column is not there or has two roles, and where the times are none.
    """
    time = time or table.header[0]
    targets, past, known = tuple(targets), tuple(past), tuple(known)
    named = [time, *([series] if series else []), *targets, *past, *known]
    for name in named:
        if name not in table.header:
            raise UsageError(f"{table.name} has no column {name!r}; it has {', '.join(table.header)[:200]}")
        if named.count(name) > 1:
            raise UsageError(f"column {name!r} has two roles; expected one")
    targets = targets or tuple(name for name in table.header if name not in named)
    if not targets:
        raise UsageError(f"{table.name} has no column left to forecast; expected {EXAMPLE}")
    first = table.rows[0]
    cell = first.cells[table.header.index(time)].strip()
    form = time_format or find_format(cell)
    if form is None:
        raise UsageError(
            f"{table.at(first.number)}, column {time!r}, is {cell[:30]!r}; expected a time such as "
            "2024-01-31 or 2024-01-31 13:00:00, or --time-format"
        )
    return Columns(time, targets, past, known, series, form)
