"""What estimators are given, as sequences: lists of arrays or texts, arrays of two or three axes, tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UsageError

Steps = NDArray[Any]  # (T, I)


def is_texts(X: Any) -> bool:
    """Whether the sequences are texts."""
    return not isinstance(X, str) and len(X) > 0 and isinstance(_first(X), str)


def is_table(X: Any) -> bool:
    """Whether a list is rows of numbers: an array (N, T), as scikit-learn has it."""
    return bool(X) and isinstance(X[0], list | tuple) and bool(X[0]) and isinstance(X[0][0], int | float)


def is_panel(X: Any) -> bool:
    """Whether a table has an index of two levels, which say the sequence and the step of a row."""
    return getattr(getattr(X, "index", None), "nlevels", 1) == 2


def texts_of(X: Any) -> list[str]:
    """A list, an array or a column of texts; raises ``UsageError`` naming what is none."""
    found = list(X)
    for n, own in enumerate(found):
        if not isinstance(own, str):
            raise UsageError(f"X[{n}] is a {type(own).__name__}; expected a text, as X[0] is")
    return found


def steps_of(X: Any, lengths: Any = None) -> list[Steps]:
    """Sequences (T, I) of a list of arrays or tables (T, I) or (T,), an array (N, T, I), or a panel.

    ``lengths`` (N,) are how many steps of each are there, where shorter ones are padded at their end.
    Raises ``UsageError`` naming the sequence that does not fit.
    """
    each = [own for _, own in X.groupby(level=0, sort=False)] if is_panel(X) else X
    found = [_sequence(own, n) for n, own in enumerate(each)]
    if lengths is not None:
        found = _cut(found, lengths)
    for n, own in enumerate(found):
        if own.shape[1] != found[0].shape[1]:
            raise UsageError(
                f"X[{n}] has {own.shape[1]} numbers a step; expected {found[0].shape[1]}, as X[0]"
            )
    return found


def _first(X: Any) -> Any:
    return X.iloc[0] if hasattr(X, "iloc") else X[0]


def _sequence(own: Any, n: int) -> Steps:
    steps = np.asarray(own)
    steps = steps[:, None] if steps.ndim == 1 else steps
    if steps.ndim != 2 or steps.dtype.kind not in "iufb":
        raise UsageError(
            f"X[{n}] has shape {steps.shape}, type {steps.dtype}; expected numbers (T, I) or (T,)"
        )
    if not len(steps):
        raise UsageError(f"X[{n}] is empty; expected at least one step")
    steps = steps.astype(np.float32)
    if not np.isfinite(steps).all():
        at = np.argwhere(~np.isfinite(steps))[0]
        raise UsageError(
            f"X[{n}] step {at[0]}, number {at[1]} is {steps[tuple(at)]}; expected finite numbers"
        )
    return steps


def _cut(found: Sequence[Steps], lengths: Any) -> list[Steps]:
    if len(lengths) != len(found):
        raise UsageError(f"lengths has {len(lengths)} numbers; expected {len(found)}, as many as sequences")
    for n, (own, length) in enumerate(zip(found, lengths, strict=True)):
        if not 1 <= length <= len(own):
            raise UsageError(f"lengths[{n}] is {length}; expected 1 to {len(own)}, the steps of X[{n}]")
    return [own[: int(length)] for own, length in zip(found, lengths, strict=True)]
