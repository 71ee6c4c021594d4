"""Forecasting to the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from backtime.data.timeseries.columns import Columns, choose_columns
from backtime.data.timeseries.encoding import SeriesEncoding
from backtime.data.timeseries.panel import Panel, Preparation, before, find_border, fit_encoding, long_enough
from backtime.data.timeseries.reader import read_series
from backtime.data.timeseries.table import Table, read_table
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.forecast_config import ForecastConfig
from backtime.runtime.forecaster import Forecaster
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.forecast.measuring import measure
from backtime.tasks.forecast.settings import NONE, Evaluation, ForecastSettings, names
from backtime.tasks.forecast.task import ForecastTask, metrics_of
from backtime.tasks.shared.network_task import begun
from backtime.tasks.shared.recurrence import check_start, fixed_recurrence
from backtime.training.metrics import Metric

if TYPE_CHECKING:
    from backtime.insight.decisions import Question

FRAME_FIELDS = ("lookback", "horizon", "season", "anchor", "strategy")

EXAMPLES = """\
examples:
  backtime train sales.csv --task forecast --horizon 12 --lookback 36
  backtime train shops.csv --task forecast --series-column shop --known price,holiday --calendar
  backtime train load.csv --task forecast --target load --past wind --loss mse --anchor none
  backtime predict runs/sales-lstm-1 sales.csv --picture forecast.svg"""


class ForecastKind(TaskKind):
    """Forecasting."""

    name = "forecast"
    settings, evaluation = ForecastSettings, Evaluation
    examples = EXAMPLES
    data = "CSV or Parquet file with a column of times"

    def metrics(self, settings: ForecastSettings) -> tuple[Metric, ...]:
        """The loss, and MASE; a recursive model, trained to look one step ahead, is chosen by MASE."""
        return metrics_of(settings)

    def prepare(
        self,
        source: Path | None,
        settings: ForecastSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Panel:
        """The series of a table, cut into a training and a validation part, and scaled by the first."""
        table = read_table(source)
        known = None if encoding is None else SeriesEncoding.from_json(encoding)
        columns = known.columns if known else _columns(table, settings)
        expected, gaps = (known.step, known.gaps) if known else (None, settings.gaps)
        T, S, held = settings.lookback, settings.horizon, settings.validation_fraction
        series, step = read_series(table, columns, expected, gaps)
        series = long_enough(before(series, settings.until, columns), T + S, gaps, tell)
        borders = [find_border(one, T, S, held) for one in series]
        coding = known or fit_encoding(columns, step, series, borders, _preparation(settings))
        return Panel(series, [coding.rows(one) for one in series], borders, coding)

    def build(self, data: Panel, settings: ForecastSettings, start: ModelFile | None) -> ForecastTask:
        """The forecaster that the settings ask for."""
        from backtime.models.forecaster import Forecaster

        check_start(settings, start)
        config = _config(data.coding, settings)
        if start and cast(ForecastConfig, start.config).quantiles != config.quantiles:
            raise UsageError(f"--loss {settings.loss} conflicts with the quantiles of --init-from")
        model = begun(Forecaster(config), start, settings)
        return ForecastTask(model, data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network, windows, columns and scales."""
        coding, config = SeriesEncoding.from_json(start.encoding), cast(ForecastConfig, start.config)
        frame, columns = coding.frame, coding.columns
        fixed = self.settings.network_of(start)
        fixed |= {name: getattr(frame, name) for name in FRAME_FIELDS}
        fixed |= {name: ",".join(getattr(columns, name)) for name in ("past", "known")}
        fixed |= {"target": ",".join(columns.targets), "time_column": columns.time}
        fixed |= {"series_column": columns.series, "calendar": coding.calendar, "gaps": coding.gaps}
        fixed |= fixed_recurrence(start)
        return fixed | {"quantiles": ",".join(map(str, config.quantiles)) or NONE}

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """Scores of the model and of the naive forecasts on the same windows: ``runtime.forecast_scores``."""
        return measure(model, source, options)

    def predictor(self, model: ModelFile) -> Forecaster:
        """The runtime's forecaster, without PyTorch."""
        return Forecaster(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """The first and the last step of some forecasts."""
        from backtime.tasks.questions.windows import forecasts

        return forecasts(model, source, count)


KIND = ForecastKind()


def _columns(table: Table, settings: ForecastSettings) -> Columns:
    lists = (names(settings.target), names(settings.past), names(settings.known))
    return choose_columns(table, settings.time_column, *lists, settings.series_column, settings.time_format)


def _preparation(settings: ForecastSettings) -> Preparation:
    return Preparation(**{field.name: getattr(settings, field.name) for field in fields(Preparation)})


def _config(coding: SeriesEncoding, settings: ForecastSettings) -> ForecastConfig:
    chosen = {**settings.network(), "horizon": settings.horizon, "strategy": settings.strategy}
    chosen |= {"targets": len(coding.columns.targets), "past": len(coding.columns.past)}
    chosen |= {"output_recurrence": settings.recurrence == "output"}
    return ForecastConfig(**chosen, known=coding.known, quantiles=settings.levels)
