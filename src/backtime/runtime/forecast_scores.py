"""How far forecasts are from what came, beside the naive forecasts of the same windows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backtime.data.timeseries.encoding import SeriesEncoding
from backtime.data.timeseries.series import Series
from backtime.data.timeseries.windows import Rows, Windows, naive
from backtime.runtime.forecast_network import ForecastNetwork

Scores = dict[str, float | int]
WINDOWS = 512  # at once
Sums = dict[str, NDArray[np.float64]]


@np.errstate(over="ignore", invalid="ignore")
def score(
    network: ForecastNetwork,
    encoding: SeriesEncoding,
    series: Sequence[Series],
    rows: list[Rows],
    windows: Windows,
) -> Scores:
    """The scores over all windows, steps and targets; ``rows`` are the series scaled.

    - ``mae``, ``mse``: in the series' units; ``scaled_mae``, ``scaled_mse``: as the network sees them
    - ``mase``: of each target the MAE divided by that of the seasonal naive forecast one step ahead in the
      training part, then the mean over the targets
    - ``pinball``: the mean quantile loss max(q e, (q - 1) e), e = truth - forecast; ``coverage``: the share
      of the truth between the outer quantiles
    - ``naive_...`` repeats the last value, ``seasonal_...`` the last season

    A value that two windows forecast counts twice, as is the custom.
    """
    sums: Sums = {}
    for first in range(0, len(windows), WINDOWS):
        numbers = np.arange(first, min(first + WINDOWS, len(windows)))
        _add(sums, network, encoding, series, rows, windows.places[numbers], windows.rows(numbers))
    means = {name: total / (len(windows) * encoding.frame.horizon) for name, total in sums.items()}
    for who in ("", "naive_", "seasonal_"):
        means[f"{who}mase"] = means[f"{who}mae"] / encoding.seasonal_mae
    return {"windows": len(windows), **{name: float(mean.mean()) for name, mean in means.items()}}


def _add(
    sums: Sums,
    network: ForecastNetwork,
    encoding: SeriesEncoding,
    series: Sequence[Series],
    scaled: list[Rows],
    places: NDArray[np.int64],
    rows: Rows,
) -> None:
    """Add the errors of some windows, summed over windows and steps, for each target."""
    frame = encoding.frame
    T, S, K = frame.lookback, frame.horizon, frame.targets
    found = network.forecast(rows).astype(np.float64)
    point, truth = found[..., network.config.point], rows[:, T:, :K]
    _errors(sums, "scaled_", point - truth)
    restored = [
        encoding.scaling.restore(series[which].name, f.swapaxes(1, 2))
        for (which, _), f in zip(places.tolist(), found, strict=True)
    ]
    own = np.stack(restored).swapaxes(2, 3)  # (B, S, K, Q)
    real = np.stack([series[which].values[at + T : at + T + S, :K] for which, at in places.tolist()])
    _errors(sums, "", own[..., network.config.point] - real)
    for who, season in (("naive_", 1), ("seasonal_", frame.season)):
        before = [series[w].values[at + T - season : at + T, :K] for w, at in places.tolist()]
        _errors(sums, who, naive(np.stack(before), S, season) - real)
        before = [scaled[w][at + T - season : at + T, :K] for w, at in places.tolist()]
        _errors(sums, f"{who}scaled_", naive(np.stack(before), S, season) - truth)
    if network.config.quantiles:
        _quantiles(sums, own, real, np.array(network.config.quantiles))


def _errors(sums: Sums, who: str, error: NDArray[np.float64]) -> None:
    _sum(sums, f"{who}mae", abs(error))
    _sum(sums, f"{who}mse", error**2)


def _quantiles(
    sums: Sums, own: NDArray[np.float64], real: NDArray[np.float64], q: NDArray[np.float64]
) -> None:
    error = real[..., None] - own
    _sum(sums, "pinball", np.maximum(q * error, (q - 1) * error).mean(3))
    _sum(sums, "coverage", (own[..., 0] <= real) & (real <= own[..., -1]))


def _sum(sums: Sums, name: str, values: NDArray[np.generic]) -> None:
    sums[name] = sums.get(name, np.zeros(values.shape[2])) + values.sum((0, 1), dtype=np.float64)
