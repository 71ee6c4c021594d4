"""Forecasting: the next steps of series of numbers from their past."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from backtime.data.batching.buckets import Buckets
from backtime.data.scaling import SCALES, TRANSFORMS
from backtime.data.timeseries.encoding import SeriesEncoding
from backtime.data.timeseries.panel import (
    Panel,
    Preparation,
    before,
    find_border,
    fit_encoding,
    long_enough,
    make_time,
    place,
)
from backtime.data.timeseries.reader import GAPS, Columns, choose_columns, read_series
from backtime.data.timeseries.table import Table, read_table
from backtime.data.timeseries.windows import ANCHORS, STRATEGIES, Rows, Windows, every_step, make_batch
from backtime.errors import UsageError
from backtime.fields import check, described
from backtime.models.config import MOST_LAYERS
from backtime.models.file import ModelFile
from backtime.models.forecast_config import ForecastConfig, check_quantiles
from backtime.runtime.forecast_network import ForecastNetwork
from backtime.runtime.forecast_scores import score
from backtime.runtime.forecaster import Forecaster
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.network import LAYERS, RecurrentSettings, output_layers
from backtime.tasks.recurrence import PATTERNS, check_output_recurrence, check_start, fixed_recurrence
from backtime.training.metrics import Metric
from backtime.training.settings import DATA, NETWORK, STEPS
from backtime.training.task import Carried, Task

if TYPE_CHECKING:
    import torch

    from backtime.insight.decisions import Question
    from backtime.models.forecaster import Forecaster as Network

NETWORK_FIELDS = (*LAYERS, "output_layers")
FRAME_FIELDS = ("lookback", "horizon", "season", "anchor", "strategy")
NONE = "none"  # no quantiles
LOSSES = ("quantile", "mse", "mae")
MEASURED = 512  # windows at once in a validation

EXAMPLES = """\
examples:
  backtime train sales.csv --task forecast --horizon 12 --lookback 36
  backtime train shops.csv --task forecast --series-column shop --known price,holiday --calendar
  backtime train load.csv --task forecast --target load --past wind --loss mse --anchor none
  backtime predict runs/sales-lstm-1 sales.csv --picture forecast.svg"""


@dataclass(frozen=True)
class ForecastSettings(RecurrentSettings):
    """A run that learns to forecast series."""

    hidden_size: int = described(64, "units a layer", group=NETWORK, least=1)
    layers: int = described(
        1, "recurrent layers, one above the other", group=NETWORK, least=1, below=MOST_LAYERS + 1
    )
    validation_fraction: float = described(
        0.2, "share of each series, at its end, to validate on", group=DATA, least=0, below=1
    )
    time_column: str = described("", "column of the times (default: the first)", group=DATA)
    time_format: str = described("", "of the times, as strptime has it (default: found)", group=DATA)
    series_column: str = described("", "column that names the series of a row", group=DATA)
    target: str = described("", "columns to forecast, A,B (default: all without a role)", group=DATA)
    past: str = described("", "columns known up to now, A,B", group=DATA)
    known: str = described("", "columns known ahead too, A,B: prices, holidays", group=DATA)
    calendar: bool = described(False, "read time of day, week and year too", group=DATA)
    until: str = described("", "leave out what comes from this time on", group=DATA)
    gaps: str = described("refuse", "what to do about gaps in time", group=DATA, choices=GAPS)
    transform: str = described("none", "of the targets, before scaling", group=DATA, choices=TRANSFORMS)
    scale: str = described("standard", "how columns are scaled", group=DATA, choices=SCALES)
    scale_each: bool = described(False, "scale every series by itself", group=DATA)
    lookback: int = described(48, "steps of the past that a forecast sees", group=DATA, least=1)
    horizon: int = described(12, "steps to forecast", group=DATA, least=1)
    season: int = described(0, "steps of a season; 0 follows from the times", group=DATA, least=0)
    strategy: str = described(
        "direct", "all steps at once, or each from the one before", group=NETWORK, choices=STRATEGIES
    )
    output_layers: int = output_layers()
    recurrence: str = described(
        "last", "what recurs: the state, with a loss after the lookback (last) or at each of its steps too "
        "(hidden), or the values forecast alone (output)", group=STEPS, choices=PATTERNS,
    )  # fmt: skip
    anchor: str = described(
        "last", "what the network adds to: zero, the last value, that of a season ago", group=NETWORK,
        choices=ANCHORS,
    )  # fmt: skip
    loss: str | None = described(
        None,
        "what is made small (default: quantile, or mse with --quantiles none)",
        group=STEPS,
        choices=LOSSES,
    )
    quantiles: str = described(
        "0.1,0.5,0.9", "of --loss quantile, or none; 0.5 is the forecast", group=NETWORK
    )

    def __post_init__(self) -> None:
        """Check what means something only together."""
        if self.loss in ("mse", "mae"):
            object.__setattr__(self, "quantiles", NONE)  # frozen: this is its birth
        elif self.loss is None:
            object.__setattr__(self, "loss", "mse" if self.quantiles == NONE else "quantile")
        super().__post_init__()
        if self.loss == "quantile" and self.quantiles == NONE:
            raise UsageError("--loss quantile with --quantiles none; expected quantiles such as 0.1,0.5,0.9")
        check_quantiles(self.levels)
        self._check_recurrence()
        if self.past and self.strategy == "recursive":
            raise UsageError(
                f"--past {self.past} with --strategy recursive: its future is not known; expected "
                "--strategy direct"
            )

    def _check_recurrence(self) -> None:
        check_output_recurrence(self)
        if self.recurrence == "output" and self.strategy != "recursive":
            raise UsageError("--recurrence output with --strategy direct; expected --strategy recursive")
        if self.recurrence == "hidden" and self.anchor != "none":
            raise UsageError(
                f"--recurrence hidden with --anchor {self.anchor}: the network would read the lookback less "
                "a value at its end; expected --anchor none"
            )

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantiles as numbers."""
        try:
            return () if self.quantiles == NONE else tuple(map(float, names(self.quantiles)))
        except ValueError as error:
            raise UsageError(f"--quantiles is {self.quantiles!r}; expected numbers: 0.1,0.5,0.9") from error


@dataclass(frozen=True)
class Evaluation:
    """Which windows of the data ``backtime evaluate`` measures."""

    since: str = described("", "forecast only what comes from this time on")
    until: str = described("", "leave out what comes from this time on")
    stride: int = described(1, "steps from one forecast to the next", least=1)

    def __post_init__(self) -> None:
        """Check every value."""
        check(self)


class ForecastTask(Task):
    """A forecaster on series: windows of the training part, drawn anew each epoch."""

    def __init__(self, model: Network, data: Panel, settings: ForecastSettings) -> None:
        """Find the windows of both parts."""
        self.network, self.data, self.settings = model, data, settings
        self.training = data.windows("training")
        self.held_out = data.windows("validation") if settings.validation_fraction else None
        lengths = np.ones(len(self.training), np.int64)
        self.buckets = Buckets(lengths, settings.batch_size, settings.seed)
        self.steps_per_epoch = len(self.buckets)
        self.metrics = KIND.metrics(settings)

    @property
    def model(self) -> Network:
        """The forecaster."""
        return self.network

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch of windows, over steps and targets, in scaled units."""
        rows = self.training.rows(self.buckets.batch(epoch, step))
        error = self._error(rows, self.settings.recurrence == "hidden")
        return self._loss(error), None, error.shape[:-1].numel()

    def validate(self) -> dict[str, float]:
        """Mean loss over the windows of the validation part, and the MASE of the forecasts."""
        from backtime.training.devices import measuring

        if self.held_out is None:
            return {}
        total, count = 0.0, len(self.held_out)
        with measuring(self.network):
            for first in range(0, count, MEASURED):
                rows = self.held_out.rows(np.arange(first, min(first + MEASURED, count)))
                total += self._loss(self._error(rows)).item() * len(rows)
        data = self.data
        found = score(self._forecasts(), data.coding, data.series, data.rows, self.held_out)
        return {"loss": total / count, "mase": found["mase"]}

    def save_model(self, path: Path) -> None:
        """Write the model file."""
        from backtime.models.saving import save_model

        save_model(path, self.network, KIND.name, self.data.encoding)

    def _error(self, rows: Rows, every: bool = False) -> torch.Tensor:
        """Truth less forecast (.., K, Q): of the horizon, or with ``every`` after each step read."""
        from backtime.training.devices import tensors

        batch = (every_step if every else make_batch)(rows, self.data.coding.frame)
        x, known, base, targets = tensors(batch, self.network)
        found = (self.network.every_step if every else self.network)(x, known)
        error: torch.Tensor = (targets - base)[..., None] - found
        return error

    def _loss(self, error: torch.Tensor) -> torch.Tensor:
        if self.settings.loss == "quantile":
            q = error.new_tensor(self.network.config.quantiles)
            error = error * (q - (error < 0).to(error.dtype))
        loss: torch.Tensor = (error.square() if self.settings.loss == "mse" else error.abs()).mean()
        return loss

    def _forecasts(self) -> ForecastNetwork:
        weights = {name: value.numpy(force=True) for name, value in self.network.state_dict().items()}
        return ForecastNetwork(self.network.config, self.data.coding.frame, weights)


class ForecastKind(TaskKind):
    """Forecasting."""

    name = "forecast"
    settings, evaluation = ForecastSettings, Evaluation
    examples = EXAMPLES
    data = "CSV or Parquet file with a column of times"

    def metrics(self, settings: ForecastSettings) -> tuple[Metric, ...]:
        """The loss, and MASE; a recursive model, trained to look one step ahead, is chosen by MASE."""
        both = (Metric("loss", "in scaled units"), Metric("mase"))
        return both if settings.strategy == "direct" else both[::-1]

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
        from backtime.models.saving import begun_from
        from backtime.training.devices import on_device

        check_start(settings, start)
        config = _config(data.coding, settings)
        if start and cast(ForecastConfig, start.config).quantiles != config.quantiles:
            raise UsageError(f"--loss {settings.loss} conflicts with the quantiles of --init-from")
        model = begun_from(start, Forecaster(config))
        return ForecastTask(on_device(model, settings.device), data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network, windows, columns and scales."""
        coding, config = SeriesEncoding.from_json(start.encoding), cast(ForecastConfig, start.config)
        frame, columns = coding.frame, coding.columns
        fixed = {name: getattr(config, name) for name in NETWORK_FIELDS}
        fixed |= {name: getattr(frame, name) for name in FRAME_FIELDS}
        fixed |= {name: ",".join(getattr(columns, name)) for name in ("past", "known")}
        fixed |= {"target": ",".join(columns.targets), "time_column": columns.time}
        fixed |= {"series_column": columns.series, "calendar": coding.calendar, "gaps": coding.gaps}
        fixed |= fixed_recurrence(start)
        return fixed | {"quantiles": ",".join(map(str, config.quantiles)) or NONE}

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """Scores of the model and of the naive forecasts on the same windows: ``runtime.forecast_scores``."""
        forecaster, coding = Forecaster(model), SeriesEncoding.from_json(model.encoding)
        series, _ = read_series(read_table(source), coding.columns, coding.step, coding.gaps)
        series = before(series, options.until, coding.columns)
        start = make_time(options.since, "--since", coding.columns) if options.since else None
        frame, rows = coding.frame, [coding.rows(one) for one in series]
        first = max(frame.season, frame.lookback)
        begins = [first if start is None else max(first, place(one, start)) for one in series]
        stretches = [(begin, len(one.times)) for begin, one in zip(begins, series, strict=True)]
        windows = Windows(rows, stretches, frame, options.stride)
        if not len(windows):
            raise UsageError(
                f"{source} has no stretch of {first} rows and {frame.horizon} to forecast after them"
                f"{f', from {options.since} on' if options.since else ''}; expected one at least"
            )
        scores = score(forecaster.network, coding, series, rows, windows)
        if not math.isfinite(scores["mse"]):
            raise UsageError("the model's forecasts are not finite numbers; its training has diverged")
        return scores

    def predictor(self, model: ModelFile) -> Forecaster:
        """The runtime's forecaster, without PyTorch."""
        return Forecaster(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """The first and the last step of some forecasts."""
        from backtime.tasks.questions.windows import forecasts

        return forecasts(model, source, count)


KIND = ForecastKind()


def names(listed: str) -> list[str]:
    """The names in ``"A,B"``."""
    return [name.strip() for name in listed.split(",") if name.strip()]


def _columns(table: Table, settings: ForecastSettings) -> Columns:
    lists = (names(settings.target), names(settings.past), names(settings.known))
    return choose_columns(table, settings.time_column, *lists, settings.series_column, settings.time_format)


def _preparation(settings: ForecastSettings) -> Preparation:
    return Preparation(**{field.name: getattr(settings, field.name) for field in fields(Preparation)})


def _config(coding: SeriesEncoding, settings: ForecastSettings) -> ForecastConfig:
    chosen = {name: getattr(settings, name) for name in (*NETWORK_FIELDS, "dropout", "horizon", "strategy")}
    chosen |= {"targets": len(coding.columns.targets), "past": len(coding.columns.past)}
    chosen |= {"output_recurrence": settings.recurrence == "output"}
    return ForecastConfig(**chosen, known=coding.known, quantiles=settings.levels)
