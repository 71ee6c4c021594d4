"""A trained forecaster in use: series in, the next steps with their times out. No PyTorch."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backtime.data.timeseries.encoding import SeriesEncoding
from backtime.data.timeseries.reader import read_series
from backtime.data.timeseries.series import Series, Values
from backtime.data.timeseries.table import read_table
from backtime.data.timeseries.times import text
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.forecast_config import ForecastConfig
from backtime.runtime.forecast_network import ForecastNetwork
from backtime.runtime.predictor import Row


class Forecaster:
    """Forecasts what comes after the end of each series."""

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
        encoding = self.encoding
        found, _ = read_series(read_table(source), encoding.columns, encoding.step, encoding.gaps, ahead=True)
        last = {series.name: series for series in found}  # of pieces between gaps the last one goes on
        return iter(last.values())

    def predict(self, records: Iterable[Series]) -> Iterator[Row]:
        """A row for each target of each of the next steps: time, forecast, and a column for each quantile."""
        for series in records:
            times, values = self.forecast(series)
            for k, time in enumerate(times):
                for target, numbers in zip(self.encoding.columns.targets, values[k], strict=True):
                    yield self._row(series, k + 1, time, target, numbers.tolist())

    def forecast(self, series: Series) -> tuple[list[int], Values]:
        """The times of the next S steps, and the forecasts (S, K, Q) in the series' own units.

        Raises ``UsageError`` where the series is shorter than the lookback, and where it lacks what is known
        ahead.
        """
        rows = self.encoding.rows(self._window(series))
        values = self.network.forecast(rows[None])[0].astype(np.float64)
        own = self.encoding.scaling.restore(series.name, values.swapaxes(1, 2)).swapaxes(1, 2)
        if not np.isfinite(own).all():
            raise UsageError("the model's forecasts are not finite numbers; its training has diverged")
        return self._ahead(series), own

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
