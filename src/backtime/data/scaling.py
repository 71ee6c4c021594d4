"""Numbers to the size that networks like, and back. What is fitted is fitted to the training part alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UnknownValueError, UsageError, shown

Values = NDArray[np.float64]
TRANSFORMS = ("none", "log", "log1p")
SCALES = ("standard", "minmax", "none")
ALL = ""  # the name under which the scale of all series stands


@dataclass(frozen=True)
class Scaling:
    """z = (f(v) - shift) / factor for each of C columns, f on the first ``targets`` of them.

    - ``transform`` f: none, log, or log1p(v) = log(1 + v)
    - ``parts``: shift and factor (C,) of each series by its name, or one pair for all, by the name ``""``
    """

    transform: str
    targets: int
    parts: Mapping[str, tuple[Values, Values]]

    @classmethod
    def fit(
        cls,
        series: Mapping[str, list[Values]],
        targets: int,
        transform: str = "none",
        scale: str = "standard",
        each: bool = False,
    ) -> "Scaling":
        """The scaling of the training parts (N, C) of series; ``each`` gives every series its own.

        - ``standard``: to mean 0 and deviation 1; ``minmax``: to the range from 0 to 1; ``none``: as they are

        A column that does not vary is only shifted.
        """
        groups = dict(series) if each else {ALL: [part for parts in series.values() for part in parts]}
        plain = cls(transform, targets, {})
        return cls(
            transform,
            targets,
            {
                name: _fitted(plain.transformed(np.concatenate(parts)), scale)
                for name, parts in groups.items()
            },
        )

    def apply(self, name: str, values: Values) -> Values:
        """Values (..., C) of a series, scaled; raises ``UnknownValueError`` for a series without a scale."""
        shift, factor = self._of(name)
        return (self.transformed(values) - shift) / factor

    def restore(self, name: str, scaled: Values) -> Values:
        """Scaled targets (..., K) as they were."""
        shift, factor = (part[: self.targets] for part in self._of(name))
        values = scaled * factor + shift
        if self.transform == "none":
            return values
        with np.errstate(over="ignore"):
            return np.exp(values) if self.transform == "log" else np.expm1(values)

    def transformed(self, values: Values) -> Values:
        """f of the targets; NaN where a number has no logarithm."""
        if self.transform == "none":
            return values
        out = values.copy()
        with np.errstate(invalid="ignore", divide="ignore"):
            own = (np.log if self.transform == "log" else np.log1p)(values[..., : self.targets])
        out[..., : self.targets] = np.where(np.isinf(own), np.nan, own)
        return out

    def to_json(self) -> dict[str, Any]:
        """A value for JSON."""
        parts = {name: [part.tolist() for part in pair] for name, pair in self.parts.items()}
        return {"transform": self.transform, "targets": self.targets, "parts": parts}

    @classmethod
    def from_json(cls, value: Any) -> "Scaling":
        """The scaling of ``to_json``'s value; raises ``UsageError`` when it is something else."""
        try:
            parts = {
                str(name): (np.array(shift, np.float64), np.array(factor, np.float64))
                for name, (shift, factor) in value["parts"].items()
            }
            found = cls(value["transform"], int(value["targets"]), parts)
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise UsageError(f"the scales are {shown(value)}; expected a transform and parts") from error
        if found.transform not in TRANSFORMS or not parts:
            raise UsageError(f"the transform is {found.transform!r}; expected one of {', '.join(TRANSFORMS)}")
        return found

    def _of(self, name: str) -> tuple[Values, Values]:
        if ALL in self.parts:
            return self.parts[ALL]
        if name not in self.parts:
            raise UnknownValueError(
                f"series {name[:40]!r} was not trained on, and each series has its own scale; expected "
                f"one of {', '.join(sorted(self.parts))[:200]}"
            )
        return self.parts[name]


def _fitted(values: Values, scale: str) -> tuple[Values, Values]:
    C = values.shape[1]
    if scale == "none":
        return np.zeros(C), np.ones(C)
    if scale == "minmax":
        shift, factor = values.min(0), np.ptp(values, 0)
    else:
        shift, factor = values.mean(0), values.std(0)
    return shift, np.where(factor > 1e-12 * np.maximum(1, abs(shift)), factor, 1.0)
