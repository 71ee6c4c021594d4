"""Gaps in time: refused, filled with straight lines, or where a series is split."""

from itertools import pairwise

import numpy as np

from backtime.data.timeseries.columns import Columns
from backtime.data.timeseries.series import Series
from backtime.data.timeseries.table import Table
from backtime.data.timeseries.times import Step, Times, text
from backtime.errors import UsageError

MOST_FILLED = 100  # rows for each one that is there

GAPS = ("refuse", "fill", "split")


def without_gaps(table: Table, columns: Columns, series: Series, step: Step, gaps: str) -> list[Series]:
    """The series in pieces without a gap, or with its gaps filled; raises ``UsageError`` at one refused."""
    places = step.places(series.times)
    jumps = np.diff(places)
    odd = (jumps % step.size != 0) | (jumps < step.size)
    cuts = np.flatnonzero((jumps != step.size) if gaps == "refuse" else odd)
    if cuts.size:
        n = int(cuts[0])
        now, before = (text(int(series.times[k]), columns.format) for k in (n + 1, n))
        expected = text(step.after(int(series.times[n]), 1), columns.format)
        advice = (
            f"not a multiple of {step}"
            if odd[n]
            else "a gap in time, which train --gaps fill or split allows"
        )
        raise UsageError(
            f"{table.at(series.numbers[n + 1])} has the time {now} after {before}; expected {expected} "
            f"({step} later); {advice}"
        )
    if gaps == "fill":
        return [_filled(series, step, places)]
    borders = [0, *(np.flatnonzero(jumps != step.size) + 1).tolist(), len(places)]
    return [series.piece(a, b) for a, b in pairwise(borders)]


def _filled(series: Series, step: Step, places: Times) -> Series:
    """The series with straight lines across its gaps; a filled row has the number of the row before."""
    rows = (places - places[0]) // step.size
    if rows[-1] > MOST_FILLED * len(rows):
        n = int(np.diff(rows).argmax())
        raise UsageError(
            f"{series.at(n + 1)} comes {rows[n + 1] - rows[n]:,} steps later; too long a gap to fill"
        )
    every = np.arange(int(rows[-1]) + 1)
    before = np.searchsorted(rows, every, "right") - 1
    late = every - rows[before]
    times = [step.after(int(series.times[b]), int(k)) for b, k in zip(before, late, strict=True)]
    values = np.stack([np.interp(every, rows, column) for column in series.values.T], 1)
    observed = int(rows[series.observed - 1]) + 1 if series.observed else 0
    numbers = [series.numbers[b] for b in before]
    return Series(series.name, np.array(times, np.int64), values, observed, numbers, series.source)
