"""A trained forecaster in use: series in, the next steps with their times out. No PyTorch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backtime.data.timeseries.encoding import SeriesEncoding
from backtime.data.timeseries.reader import read_series
from backtime.data.timeseries.series import Series, Values
from backtime.data.timeseries.table import Table, read_table, table_of
from backtime.data.timeseries.times import text
from backtime.data.timeseries.windows import Rows
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.forecast_config import ForecastConfig
from backtime.runtime.forecast_network import PATHS, ForecastNetwork
from backtime.runtime.groups import Grouped
from backtime.runtime.predictor import Prepared, Row


class Window(NamedTuple):
    """A series, and its last rows (T + S, C) as numbers for the network."""

    series: Series
    rows: Rows


class Forecaster(Grouped):
    """Forecasts what comes after the end of each series."""

    json_records, file_endings = "rows of the table, as objects", (".csv", ".tsv")

    def __init__(self, model: ModelFile, backend: str = "auto") -> None:
        """Prepare the weights for stepping."""
        if not isinstance(model.config, ForecastConfig):
            raise UsageError(f"a model for the task {model.task!r}; expected one that forecasts series")
        self.config: ForecastConfig = model.config
        self.encoding = SeriesEncoding.from_json(model.encoding)
        self.network = ForecastNetwork(self.config, self.encoding.frame, model.tensors, backend)

    def read(self, source: Path | None) -> Iterator[Series]:
        """The series of a table, each without a gap; None is a CSV on standard input.

        Rows at the end without any target are the future: there stands what is known ahead.
        """
        return self._series(read_table(source))

    def from_json(self, values: list[Any]) -> list[Series]:
        """The series of a table whose rows come as objects, all with the names of the first."""
        return list(self._series(table_of(values)))

    def _series(self, table: Table) -> Iterator[Series]:
        encoding = self.encoding
        found, _ = read_series(table, encoding.columns, encoding.step, encoding.gaps, ahead=True)
        last = {series.name: series for series in found}  # of pieces between gaps the last one goes on
        return iter(last.values())

    def prepare(self, record: Series, number: int) -> Prepared:
        """The window at the end of a series; raises ``UsageError`` where the series cannot be forecast."""
        return Prepared(Window(record, self.encoding.rows(self._window(record))), self._steps)

    @property
    def _steps(self) -> int:
        return self.encoding.frame.lookback + self.config.horizon * PATHS

    def answers(self, values: Sequence[Window]) -> list[list[Row]]:
        """A row for each target of each of the next steps: time, forecast, and a column for each quantile."""
        return [
            [
                self._row(own.series, k, time, target, numbers.tolist())
                for k, (time, each) in enumerate(zip(self._ahead(own.series), found, strict=True), 1)
                for target, numbers in zip(self.encoding.columns.targets, each, strict=True)
            ]
            for own, found in zip(values, self._forecast(values), strict=True)
        ]

    def forecast(self, series: Series) -> tuple[list[int], Values]:
        """The times of the next S steps, and the forecasts (S, K, Q) in the series' own units.

        Raises ``UsageError`` where the series is shorter than the lookback, and where it lacks what is known
        ahead.
        """
        return self._ahead(series), self._forecast([self.prepare(series, 1).value])[0]

    def _forecast(self, windows: Sequence[Window]) -> list[Values]:
        scaled = self.network.forecast(np.stack([own.rows for own in windows])).astype(np.float64)
        return [self._restored(own.series.name, found) for own, found in zip(windows, scaled, strict=True)]

    def _restored(self, name: str, scaled: Values) -> Values:
        own = self.encoding.scaling.restore(name, scaled.swapaxes(1, 2)).swapaxes(1, 2)
        if not np.isfinite(own).all():
            raise UsageError("the model's forecasts are not finite numbers; its training has diverged")
        return own

    def draw(self, records: Sequence[Series]) -> Any:
        """A figure of matplotlib: the end of each series and its forecast, with bands between quantiles."""
        from backtime.runtime.forecast_picture import draw_forecast

        made = [(series, *self.forecast(series)) for series in records]
        return draw_forecast(self.encoding, self.config, made)

    def _row(self, series: Series, step: int, time: int, target: str, numbers: list[float]) -> Row:
        row: Row = {"series": series.name} if self.encoding.columns.series else {}
        row |= {"time": text(time, self.encoding.columns.format), "step": step, "target": target}
        row["forecast"] = numbers[self.config.point]
        return row | {f"q{q:g}": v for q, v in zip(self.config.quantiles, numbers, strict=False)}

    def _ahead(self, series: Series) -> list[int]:
        last = int(series.times[series.observed - 1])
        return [self.encoding.step.after(last, k + 1) for k in range(self.config.horizon)]

    def _window(self, series: Series) -> Series:
        """The last lookback rows and the horizon's, in which what is not known is 0 and plays no part."""
        T, S, end = self.encoding.frame.lookback, self.config.horizon, series.observed
        if end < T:
            raise UsageError(
                f"{series.title} ends at {series.at(len(series.times) - 1)} with {end} rows in a stretch; "
                f"expected {T} or more, the model's lookback"
            )
        ahead, known = series.values[end : end + S], self.encoding.columns.known
        if known and len(ahead) < S:
            raise UsageError(
                f"{series.title} has {len(ahead)} rows of future with {', '.join(known)}; expected {S}: rows "
                "after its end that leave the targets empty"
            )
        values = np.zeros((T + S, series.values.shape[1]))
        values[:T] = series.values[end - T : end]
        if known:
            values[T:, -len(known) :] = ahead[:, -len(known) :]
        times = np.array([*series.times[end - T : end].tolist(), *self._ahead(series)], np.int64)
        return Series(series.name, times, values, T, series.numbers[end - T : end], series.source)
