"""How a table of series becomes what a network reads, and back: a part of the model file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtime.data.scaling import Scaling, Values
from backtime.data.timeseries.columns import Columns
from backtime.data.timeseries.gaps import GAPS
from backtime.data.timeseries.series import Series
from backtime.data.timeseries.times import Step, calendar, calendar_size
from backtime.data.timeseries.windows import Frame, Rows
from backtime.errors import UsageError, shown


@dataclass(frozen=True)
class SeriesEncoding:
    """Columns, step, scales and windows; ``seasonal_mae`` (K,) is what MASE divides by.

    With ``calendar`` the time of year, week and day stand as known columns after the table's own.
    """

    columns: Columns
    step: Step
    frame: Frame
    scaling: Scaling
    calendar: bool
    gaps: str
    seasonal_mae: Values

    @property
    def known(self) -> int:
        """F: the columns known ahead, the calendar's among them."""
        return len(self.columns.known) + (calendar_size(self.step) if self.calendar else 0)

    def rows(self, series: Series) -> Rows:
        """A series as windows have it: scaled, the calendar beside it, (N, C) float32.

        Raises ``UsageError`` naming line and column of a number that has no logarithm.
        """
        scaled = self.scaling.apply(series.name, series.values)
        check_transformed(scaled, series, self.columns, self.scaling.transform)
        if self.calendar:
            scaled = np.concatenate([scaled, calendar(series.times, self.step)], 1)
        return scaled.astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """The parts, each a JSON object."""
        return {
            "columns": self.columns.to_json(),
            "series": {
                "step": list(self.step),
                "calendar": self.calendar,
                "gaps": self.gaps,
                "seasonal_mae": self.seasonal_mae.tolist(),
            },
            "windows": self.frame.to_json(),
            "scales": self.scaling.to_json(),
        }

    @classmethod
    def from_json(cls, parts: Mapping[str, Any]) -> "SeriesEncoding":
        """The encoding of ``to_json``'s value; raises ``UsageError`` where it is something else."""
        columns, frame = Columns.from_json(parts.get("columns")), Frame.from_json(parts.get("windows"))
        scaling = Scaling.from_json(parts.get("scales"))
        match parts.get("series"):
            case {"step": step, "calendar": bool(dates), "gaps": str(gaps), "seasonal_mae": list(errors)} if (
                all(type(own) is float for own in errors)
            ):
                found = cls(
                    columns, Step.from_json(step), frame, scaling, dates, gaps, np.array(errors, np.float64)
                )
            case other:
                raise UsageError(f"series is {shown(other)}; expected step, calendar, gaps and so on")
        found._check()
        return found

    def _check(self) -> None:
        K, C = len(self.columns.targets), len(self.columns.numbers)
        sizes = {part.shape for pair in self.scaling.parts.values() for part in pair}
        if (self.frame.targets, self.scaling.targets, self.seasonal_mae.shape) != (K, K, (K,)):
            raise UsageError(f"windows, scales or series have not the {K} targets of the columns")
        if sizes != {(C,)} or self.frame.known != self.known or self.gaps not in GAPS:
            raise UsageError("columns, series, windows and scales do not fit each other")


def check_transformed(scaled: Values, series: Series, columns: Columns, transform: str) -> None:
    """Raise ``UsageError`` at a target that has no logarithm."""
    own = scaled[: series.observed, : len(columns.targets)]
    for n, c in np.argwhere(np.isnan(own))[:1].tolist():
        least = "above 0" if transform == "log" else "above -1"
        raise UsageError(
            f"{series.at(n)}, column {columns.targets[c]!r}, is {series.values[n, c]:g}; expected a number "
            f"{least} for --transform {transform}"
        )


def seasonal_errors(parts: list[Values], targets: int, season: int) -> Values:
    """Mean |v_t - v_(t-m)| of each target (K,) over training parts (N, C): the denominator of MASE.

    m is ``season``, or 1 where no part is longer than that. Where the parts repeat themselves exactly, 1
    stands for 0: MASE is then the MAE. Hyndman and Koehler, Int. J. Forecasting 22 (2006).
    """
    lag = season if any(len(part) > season for part in parts) else 1
    found = [abs(part[lag:, :targets] - part[:-lag, :targets]) for part in parts if len(part) > lag]
    if not found:
        return np.ones(targets)
    mean = np.concatenate(found).mean(0)
    return np.where(mean > 0, mean, 1.0)
