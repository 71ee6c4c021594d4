"""Series of a ``.ts`` file, as the time series classification archive has them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backtime.data.examples import Example
from backtime.data.series.numbers import numbers_of
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
    rows = [numbers_of(channel.split(","), f"{place} channel {n}") for n, channel in enumerate(channels, 1)]
    lengths = sorted({len(row) for row in rows})
    if len(lengths) != 1:
        raise UsageError(f"{place} has channels of {lengths} steps; expected channels of one length")
    return Example(np.stack(rows, 1), label or None, place)
