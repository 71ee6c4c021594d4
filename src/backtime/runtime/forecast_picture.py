"""The picture of a forecast, drawn with matplotlib (the optional extra ``plots``)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from backtime.data.scaling import Values
from backtime.data.timeseries.encoding import SeriesEncoding
from backtime.data.timeseries.series import Series
from backtime.data.timeseries.times import NUMBER
from backtime.models.forecast_config import ForecastConfig

PAST = 3  # times the horizon: how much of the past is shown, a lookback at least
MOST = 24  # pictures, one below the other


Made = tuple[Series, list[int], Values]  # a series, and the times and values (S, K, Q) of its forecast


def draw_forecast(encoding: SeriesEncoding, config: ForecastConfig, made: Sequence[Made]) -> Any:
    """A figure with the end of each target of each series, its forecast, and bands between quantiles."""
    from matplotlib.figure import Figure

    targets = encoding.columns.targets
    shown = [(one, number) for one in made for number in range(len(targets))][:MOST]
    figure = Figure(figsize=(9, 3 * max(1, len(shown))), layout="constrained")
    places = figure.subplots(max(1, len(shown)), 1, squeeze=False)[:, 0]
    for axes, (one, number) in zip(places, shown, strict=False):
        _draw(axes, encoding, config, one, number)
        axes.set_title(" ".join(filter(None, (one[0].name, targets[number]))))
    return figure


def _draw(axes: Any, encoding: SeriesEncoding, config: ForecastConfig, made: Made, number: int) -> None:
    series, times, every = made
    end, values, form = series.observed, every[:, number], encoding.columns.format
    first = max(0, end - max(encoding.frame.lookback, PAST * config.horizon))
    past, ahead = series.times[first:end].tolist(), [series.times[end - 1].item(), *times]
    last = series.values[end - 1, number]
    axes.plot(_axis(form, past), series.values[first:end, number], label="past", linewidth=1)
    color = axes.plot(_axis(form, ahead), [last, *values[:, config.point]], label="forecast")[0].get_color()
    for low in range(len(config.quantiles) // 2):
        high = len(config.quantiles) - 1 - low
        axes.fill_between(
            *(_axis(form, ahead), [last, *values[:, low]], [last, *values[:, high]]),
            color=color,
            alpha=0.2,
            linewidth=0,
            label=f"{config.quantiles[low]:g} to {config.quantiles[high]:g}",
        )
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)


def _axis(form: str, times: list[int]) -> list[Any]:
    """Times as matplotlib takes them: dates, or numbers."""
    if form == NUMBER:
        return times
    start = datetime(1970, 1, 1, tzinfo=UTC)
    return [start + timedelta(microseconds=time) for time in times]
