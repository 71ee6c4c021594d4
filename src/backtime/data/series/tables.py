"""Series of CSV tables, a step or a series a line, and of lines of JSON."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from backtime.data.examples import Cells, Example, read_table
from backtime.data.series.numbers import check_finite, is_number, numbers_of
from backtime.data.text.lines import read_lines
from backtime.errors import UsageError


def read_wide_table(source: Path, label: str, labelled: bool) -> Iterator[Example]:
    """A series of one channel a line: its label and its values; empty cells at the end make it shorter."""
    for cells, place in read_table(source):
        own = cells.pop(label, None)
        if labelled and not own:
            raise UsageError(f"{place} has no label in column {label!r}; expected one")
        values = list(cells.values())
        while values and not values[-1].strip():
            values.pop()
        if not values:
            raise UsageError(f"{place} has no values; expected a series of at least one")
        yield Example(numbers_of(values, place)[:, None], own, place)


def read_long_table(source: Path, series: str, label: str, labelled: bool) -> Iterator[Example]:
    """A step a line: which series it belongs to, the label of the series, and a column for each channel."""
    for name, steps in groupby(read_table(source), key=lambda row: row.values[series]):
        yield _joined(name, list(steps), series, label, labelled)


def _joined(name: str, steps: list[Cells], series: str, label: str, labelled: bool) -> Example:
    rows = []
    own = steps[0].values.get(label)
    if labelled and not own:
        raise UsageError(f"{steps[0].place} has no label in column {label!r}; expected one")
    for cells, place in steps:
        if cells.get(label) != own:
            raise UsageError(
                f"{place} has the label {cells[label]!r} in series {name!r}, which began with {own!r}"
            )
        channels = {key: cell for key, cell in cells.items() if key not in (series, label)}
        rows.append([_cell(cell, f"{place} column {key}") for key, cell in channels.items()])
    if not rows[0]:
        raise UsageError(f"{steps[0].place} has no channels; expected columns of numbers")
    return Example(np.array(rows, np.float32), own, steps[0].place)


def _cell(cell: str, place: str) -> float:
    if not is_number(cell):
        raise UsageError(f"{place} is {cell[:20]!r}; expected a number")
    if not np.isfinite(float(cell)):
        raise UsageError(f"{place} is {cell.strip()}; expected finite numbers")
    return float(cell)


def read_json(source: Path | None) -> Iterator[Example]:
    """A series a line: a list of steps, each a list of channels, or where there is one, its number."""
    for number, line in enumerate(read_lines(source), 1):
        place = f"{source or 'standard input'} line {number}"
        try:
            steps = np.array(json.loads(line), np.float64)
        except ValueError as error:
            raise UsageError(
                f"{place} is {line[:20]!r}; expected a list of steps: [[1.5, 2], [1.6, 2]]"
            ) from error
        if steps.ndim not in (1, 2) or not steps.size:
            raise UsageError(
                f"{place} has shape {steps.shape}; expected a list of steps: [[1.5, 2], [1.6, 2]]"
            )
        steps = steps.reshape(len(steps), -1)
        check_finite(steps, place)
        yield Example(steps.astype(np.float32), None, place)
