"""Points in time as whole numbers, their format, and the step from one to the next.

A date is its microseconds since 1970, in UTC where it has an offset; any other time is a whole number as it
stands. Months are not equally long, so a series of months counts months.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UsageError, shown

Times = NDArray[np.int64]
NUMBER = "number"  # the format of times that are whole numbers
_CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H:%M:%S%z")
_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y")
FORMATS = (
    *("%Y-%m", *_DAYS),
    *(f"{day}{between}{clock}" for day in _DAYS for between in (" ", "T") for clock in _CLOCKS),
    "%Y-%m-%dT%H:%M:%SZ",
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
WEEK, YEAR = 7 * DAY, 365.2425 * DAY
MONTHS, MONTH_ENDS, MICROSECONDS = "months", "month ends", "microseconds"
UNITS = (MONTHS, MONTH_ENDS, MICROSECONDS, NUMBER)
_WORDS = {"week": WEEK, "day": DAY, "hour": HOUR, "minute": MINUTE, "second": SECOND}


def find_format(cell: str) -> str | None:
    """The format of a time, as ``strptime`` has it, or ``NUMBER``; None where it is no time."""
    for form in (NUMBER, *FORMATS):
        try:
            parse(cell, form)
        except ValueError:
            continue
        return form
    return None


def parse(cell: str, form: str) -> int:
    """A time as a whole number; raises ``ValueError`` when it has another format."""
    if form == NUMBER:
        if not cell.lstrip("+-").isdecimal():
            raise ValueError(cell)
        return int(cell)
    date = datetime.strptime(cell, form)
    return ((date if date.tzinfo else date.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND


def parser(form: str) -> Callable[[str], int]:
    """``parse`` for many times of one format: ISO dates by a way that is thirty times as quick."""
    if not form.startswith("%Y-%m-%d"):
        return lambda cell: parse(cell, form)
    pattern = text(0, form)
    plain = "%z" not in form and "%f" not in form

    def quick(cell: str) -> int:
        alike = len(cell) == len(pattern) and cell[5].isdecimal() and cell[10:11] == pattern[10:11]
        if not (plain and alike):  # fromisoformat takes weeks and any separator too
            return parse(cell, form)
        date = datetime.fromisoformat(cell)
        return ((date if date.tzinfo else date.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND

    return quick


def text(time: int, form: str) -> str:
    """A time in its format."""
    return str(time) if form == NUMBER else _date(time).strftime(form)


def _date(time: int) -> datetime:
    return EPOCH + timedelta(microseconds=int(time))


class Step(NamedTuple):
    """The time from one row to the next: ``size`` of a unit."""

    unit: str
    size: int

    def places(self, times: Times) -> Times:
        """Numbers that rise by ``size`` with each step: months since year 0, or the times themselves."""
        if self.unit in (MICROSECONDS, NUMBER):
            return times
        dates = [_date(time) for time in times.tolist()]
        return np.array([12 * date.year + date.month - 1 for date in dates], np.int64)

    def after(self, time: int, steps: int) -> int:
        """The time some steps later."""
        if self.unit in (MICROSECONDS, NUMBER):
            return time + steps * self.size
        date = _date(time)
        months = 12 * date.year + date.month - 1 + steps * self.size
        if self.unit == MONTHS:
            moved = date.replace(year=months // 12, month=months % 12 + 1)
        else:  # the day before the first of the next month
            first = date.replace(year=(months + 1) // 12, month=(months + 1) % 12 + 1, day=1)
            moved = first - timedelta(days=1)
        microseconds: int = (moved - EPOCH) // MICROSECOND
        return microseconds

    @property
    def season(self) -> int:
        """Steps of the season that people expect: a day, a week or a year; 1 where there is none, and for
        steps below a minute.
        """
        if self.unit == NUMBER or (self.unit == MICROSECONDS and self.size < MINUTE):
            return 1
        if self.unit != MICROSECONDS:
            return 12 // self.size if 12 % self.size == 0 else 1
        for length in (DAY, WEEK):
            if self.size < length and length % self.size == 0:
                return length // self.size
        return 52 if self.size == WEEK else 1

    def __str__(self) -> str:
        """In words: ``"1 hour"``."""
        if self.unit != MICROSECONDS:
            word, count = ("month" if self.unit in (MONTHS, MONTH_ENDS) else ""), self.size
        else:
            found = [(name, size) for name, size in _WORDS.items() if self.size % size == 0]
            word, size = found[0] if found else ("microsecond", 1)
            count = self.size // size
        return f"{count} {word}{'s' if word and count != 1 else ''}".strip()

    @classmethod
    def from_json(cls, value: Any) -> "Step":
        """The step of a model file; raises ``UsageError`` when it is something else."""
        match value:
            case [str(unit), int(count)] if unit in UNITS and count > 0:
                return cls(unit, count)
        raise UsageError(f"the step is {shown(value)}; expected a unit and a count")


def find_step(series: list[Times], form: str) -> Step | None:
    """The most common step of the series; None where no series has two rows at rising times."""
    unit = NUMBER if form == NUMBER else _months(series) or MICROSECONDS
    counted: Counter[int] = Counter()
    for times in series:
        counted.update(np.diff(Step(unit, 1).places(times)).tolist())
    rising = {count: number for count, number in counted.items() if count > 0}
    return Step(unit, max(rising, key=lambda count: (rising[count], -count))) if rising else None


def _months(series: list[Times]) -> str:
    """Whether all dates stand at the same day of a month, or at the last one; empty where neither."""
    dates = [_date(time) for times in series for time in times.tolist()]
    if len({(date.day, date.time()) for date in dates}) == 1:
        return MONTHS if len({(date.year, date.month) for date in dates}) > 1 else ""
    if all((date + timedelta(days=1)).day == 1 for date in dates) and len({d.time() for d in dates}) == 1:
        return MONTH_ENDS
    return ""


def calendar(times: Times, step: Step) -> NDArray[np.float64]:
    """What the calendar says of dates (N,), as sines and cosines (N, F): the time of the year; for steps
    shorter than a week that of the week, for steps shorter than a day that of the day.
    """
    waves: list[float] = [YEAR]
    if step.unit == MICROSECONDS:
        waves += [length for length in (WEEK, DAY) if step.size < length]
    monday = times - 4 * DAY  # 1970 began on a Thursday
    angles = [2 * np.pi * (monday if wave == WEEK else times) / wave for wave in waves]
    return np.stack([part for angle in angles for part in (np.sin(angle), np.cos(angle))], 1)


def calendar_size(step: Step) -> int:
    """F of ``calendar``."""
    return int(calendar(np.zeros(1, np.int64), step).shape[1])
