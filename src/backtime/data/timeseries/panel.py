"""The data of a forecaster: series with a training and a validation part, scaled by the first."""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtime.data.scaling import Scaling
from backtime.data.timeseries.columns import Columns
from backtime.data.timeseries.encoding import SeriesEncoding, check_transformed, seasonal_errors
from backtime.data.timeseries.series import Series
from backtime.data.timeseries.times import NUMBER, Step, calendar_size, find_format, parse
from backtime.data.timeseries.windows import Frame, Rows, Windows
from backtime.errors import UsageError


@dataclass(frozen=True)
class Panel:
    """The data: series, scaled too, and where the validation part of each begins."""

    series: list[Series]
    rows: list[Rows]
    borders: list[int]
    coding: SeriesEncoding

    @property
    def fingerprint(self) -> str:
        """Of names, times, values and borders."""
        digest = hashlib.blake2b(repr([self.borders, self.coding.to_json()]).encode())
        for series in self.series:
            digest.update(repr(series.name).encode() + series.times.tobytes() + series.values.tobytes())
        return digest.hexdigest()

    @property
    def encoding(self) -> dict[str, Any]:
        """Columns, step, windows and scales."""
        return self.coding.to_json()

    def describe(self) -> str:
        """Series and rows."""
        number, rows = len(self.series), sum(len(series.times) for series in self.series)
        return (
            f"{number:,} series of {rows:,} rows, {self.coding.step} apart"
            if number > 1
            else (f"{rows:,} rows, {self.coding.step} apart")
        )

    def windows(self, part: str) -> Windows:
        """The windows whose future lies in the training or the validation part."""
        stretches = [
            (0, border) if part == "training" else (max(border, self.coding.frame.season), len(rows))
            for border, rows in zip(self.borders, self.rows, strict=True)
        ]
        return Windows(self.rows, stretches, self.coding.frame)


def make_time(cell: str, option: str, columns: Columns) -> int:
    """A time of the command line, in the format of the data or in any that is known."""
    form = find_format(cell) or columns.format
    try:
        if (form == NUMBER) == (columns.format == NUMBER):
            return parse(cell, form)
    except ValueError:
        pass
    raise UsageError(f"{option} is {cell!r}; expected a time such as the data have ({columns.format})")


def place(series: Series, time: int) -> int:
    """The number of the first row at that time or later."""
    return int(np.searchsorted(series.times, time))


def before(series: list[Series], until: str, columns: Columns) -> list[Series]:
    """The rows before ``--until``, which may be empty."""
    if not until:
        return series
    end = make_time(until, "--until", columns)
    kept = [one for one in (one.first(place(one, end)) for one in series) if len(one.times)]
    if not kept:
        raise UsageError(f"--until {until} leaves no row; expected a later time")
    return kept


def long_enough(series: list[Series], least: int, gaps: str, tell: Callable[[str], None]) -> list[Series]:
    """The series that have a window. Short pieces between gaps are left out, other short ones refused."""
    kept = [one for one in series if len(one.times) >= least]
    short = next((one for one in series if len(one.times) < least), None)
    if short is not None and (gaps != "split" or not kept):
        raise UsageError(
            f"{short.title} has {len(short.times)} rows, up to {short.at(len(short.times) - 1)}; expected "
            f"{least} or more, --lookback and --horizon together"
        )
    if len(kept) < len(series):
        tell(f"{len(series) - len(kept)} stretches between gaps are shorter than a window and are left out")
    return kept


def find_border(series: Series, lookback: int, horizon: int, fraction: float) -> int:
    """The row where the validation part begins; raises ``UsageError`` where a part has no window."""
    N = len(series.times)
    held = round(N * fraction)
    told = f"--validation-fraction {fraction} of {N} rows of {series.title}"
    if fraction and held < horizon:
        raise UsageError(f"{told} is {held}; expected a --horizon of {horizon} at least, or 0")
    if N - held < lookback + horizon:
        raise UsageError(
            f"{told} leaves {N - held} to train on; expected {lookback + horizon} or more, --lookback and "
            "--horizon together"
        )
    return N - held


@dataclass(frozen=True)
class Preparation:
    """How numbers are prepared: the options of ``train`` of the same names; ``season`` 0 follows the step."""

    lookback: int
    horizon: int
    season: int
    anchor: str
    strategy: str
    transform: str
    scale: str
    scale_each: bool
    calendar: bool
    gaps: str


def fit_encoding(
    columns: Columns, step: Step, series: list[Series], borders: list[int], chosen: Preparation
) -> SeriesEncoding:
    """The encoding of a new model: scales and MASE's denominators are those of the training parts alone."""
    if chosen.calendar and columns.format == NUMBER:
        raise UsageError("--calendar with times that are numbers; expected dates")
    K, parts = len(columns.targets), defaultdict(list)
    plain = Scaling(chosen.transform, K, {})
    for one, border in zip(series, borders, strict=True):
        check_transformed(plain.transformed(one.values), one, columns, chosen.transform)
        parts[one.name].append(one.values[:border])
    scaling = Scaling.fit(parts, K, chosen.transform, chosen.scale, chosen.scale_each)
    season = chosen.season or step.season
    known = len(columns.known) + (calendar_size(step) if chosen.calendar else 0)
    frame = Frame(chosen.lookback, chosen.horizon, K, known, season, chosen.anchor, chosen.strategy)
    frame.check()
    errors = seasonal_errors([part for own in parts.values() for part in own], K, season)
    return SeriesEncoding(columns, step, frame, scaling, chosen.calendar, chosen.gaps, errors)
