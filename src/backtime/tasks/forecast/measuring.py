"""How good forecasts are, beside the naive ones."""

from __future__ import annotations

import math
from pathlib import Path

from backtime.data.timeseries.encoding import SeriesEncoding
from backtime.data.timeseries.panel import before, make_time, place
from backtime.data.timeseries.reader import read_series
from backtime.data.timeseries.table import read_table
from backtime.data.timeseries.windows import Windows
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.runtime.forecast_scores import score
from backtime.runtime.forecaster import Forecaster
from backtime.tasks.base import Scores
from backtime.tasks.forecast.settings import Evaluation


def measure(model: ModelFile, source: Path, options: Evaluation) -> Scores:
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
