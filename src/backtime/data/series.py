"""Labelled series of numbers: ``.ts`` files, CSV and NPZ; several channels, unequal lengths."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.examples import Cells, Example, read_table
from backtime.data.images import pictured
from backtime.data.text.lines import read_lines
from backtime.errors import UsageError

TS_EXPECTED = (
    "expected values between commas, channels between colons, and the label: '1.0,1.5:0.2,0.3:label'"
)


def read_ts(source: Path, labelled: bool) -> Iterator[Example]:
    """The series of a file of the time series classification archive (timeseriesclassification.com).

    The head ``@classLabel true`` names the labels; ``@targetLabel true`` says that they are numbers.
    """
    heads: dict[str, str] = {}
    for number, line in enumerate(read_lines(source), 1):
        line, place = line.strip(), f"{source} line {number}"
        if not line or line.startswith("#"):
            continue
        if "data" not in heads:
            if not line.startswith("@"):
                raise UsageError(f"{place} comes before @data; expected a head of @ lines, as in a .ts file")
            name, _, value = line[1:].partition(" ")
            heads[name.lower()] = value.strip()
            continue
        if heads.get("timestamps", "false").lower() == "true":
            raise UsageError(f"{source} has time stamps; expected @timeStamps false")
        names = heads.get("classlabel", heads.get("targetlabel", "false")).split()
        yield _ts_row(line, names, place, labelled)


def _ts_row(line: str, classes: list[str], place: str, labelled: bool) -> Example:
    *channels, label = line.split(":")
    if not classes or classes[0].lower() != "true":
        if labelled:
            raise UsageError(f"{place} has no label: the head says so; expected @classLabel true")
        channels, label = [*channels, label], ""
    if label and classes[1:] and label not in classes[1:]:
        raise UsageError(f"{place} has the label {label[:40]!r}, which the head lacks; {TS_EXPECTED}")
    rows = [_numbers(channel.split(","), f"{place} channel {n}") for n, channel in enumerate(channels, 1)]
    lengths = sorted({len(row) for row in rows})
    if len(lengths) != 1:
        raise UsageError(f"{place} has channels of {lengths} steps; expected channels of one length")
    return Example(np.stack(rows, 1), label or None, place)


def _numbers(cells: list[str], place: str) -> NDArray[np.float32]:
    """The numbers of a row; each is finite."""
    try:
        values = np.array(cells, np.float64)
    except ValueError:
        step = next(n for n, cell in enumerate(cells, 1) if not is_number(cell))
        raise UsageError(f"{place} step {step} is {cells[step - 1][:20]!r}; expected a number") from None
    if not np.isfinite(values).all():
        step = int(np.isfinite(values).argmin())
        raise UsageError(f"{place} step {step + 1} is {values[step]}; expected finite numbers")
    return values.astype(np.float32)


def is_number(cell: str) -> bool:
    """Whether a cell says a number; NaN and infinity are said too."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


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
        yield Example(_numbers(values, place)[:, None], own, place)


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


def read_npz(source: Path, labelled: bool) -> Iterator[Example]:
    """The records of an archive of NumPy: ``x``, their labels ``y``, and where they differ ``lengths``.

    ``x`` is (N, T, ...), or the steps of all records one after the other when ``lengths`` add up to them.
    """
    arrays = read_archive(source)
    if "x" not in arrays or (labelled and "y" not in arrays):
        raise UsageError(f"{source} has {', '.join(arrays) or 'nothing'}; expected arrays x and y")
    x, y = arrays["x"], arrays.get("y")
    if x.dtype.kind not in "iufb" or x.ndim < 2 or not len(x):
        raise UsageError(f"{source}: x has shape {x.shape} and type {x.dtype}; expected numbers (N, T, ...)")
    lengths = arrays.get("lengths")
    records = _records(source, x, lengths)
    if y is not None and y.shape != (len(records),):
        raise UsageError(f"{source}: y has shape {y.shape}; expected {(len(records),)}, a label a record")
    for n, record in enumerate(records):
        place = f"{source} record {n}"
        steps = record if record.ndim > 1 else record[:, None]
        check_finite(steps, place)
        label = None if y is None else str(y[n])
        image = record.dtype == np.uint8 and (record.ndim == 3 or (record.ndim == 2 and lengths is None))
        yield pictured(record, label, place) if image else Example(steps, label, place)


def _records(source: Path, x: NDArray[Any], lengths: NDArray[Any] | None) -> list[NDArray[Any]]:
    if lengths is None:
        return list(x)
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 1).any():
        raise UsageError(f"{source}: lengths are {lengths.tolist()[:8]}; expected whole numbers from 1")
    if len(lengths) == len(x) and lengths.max() <= x.shape[1]:
        return [record[:length] for record, length in zip(x, lengths, strict=True)]
    if lengths.sum() == len(x):
        return np.split(x, np.cumsum(lengths)[:-1])
    raise UsageError(
        f"{source}: lengths add up to {lengths.sum()} for x of shape {x.shape}; expected one a record, of "
        "at most its steps, or lengths that add up to the rows of x"
    )


def read_archive(source: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an archive of NumPy by their names, in small letters; no pickle is opened."""
    try:
        with np.load(source, allow_pickle=False) as archive:
            return {name.lower(): archive[name] for name in archive.files}
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror or error}") from error
    except Exception as error:  # zipfile's, zlib's and NumPy's ways to say that it is damaged
        raise UsageError(f"{source} is no NPZ archive of numbers: {error}") from error


def check_finite(steps: NDArray[Any], place: str) -> None:
    """Raise ``UsageError`` naming the first step and channel of (T, ...) that is NaN or infinite."""
    if steps.dtype.kind == "f" and not np.isfinite(steps).all():
        step, *channel = (int(at) for at in np.argwhere(~np.isfinite(steps))[0])
        raise UsageError(
            f"{place} is {steps[(step, *channel)]} at step {step}, channel {', '.join(map(str, channel))}; "
            "expected finite numbers"
        )
