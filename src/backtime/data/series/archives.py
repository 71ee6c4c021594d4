"""Series and other records of a NumPy archive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.examples import Example
from backtime.data.images import pictured
from backtime.data.series.numbers import check_finite
from backtime.errors import UsageError


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
