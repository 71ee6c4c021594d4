"""``SequenceForecaster``: the next steps of a series of numbers."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from backtime.data.timeseries.series import Series
from backtime.errors import UsageError
from backtime.estimators.training import fitted, seed_of, settings_of
from backtime.models.file import ModelFile
from backtime.runtime.forecaster import Forecaster
from backtime.tasks.forecast import KIND, ForecastSettings

DAY = np.timedelta64(1, "D")  # what stands between two steps, for those who know no times
BEGIN = np.datetime64("2000-01-01")
Values = NDArray[np.float64]


class SequenceForecaster(BaseEstimator):  # type: ignore[misc]
    """Looks back ``lookback`` steps of one or more series side by side, and gives the next ``horizon``.

    ``X`` is an array (T,) or (T, K), or a table with a column for each series. The parameters are options of
    ``backtime train --task forecast``; ``options`` takes the others by name. After ``fit``: ``model_``,
    ``last_``, the steps that ``predict()`` goes on from, and ``n_features_in_``, the number of series.
    """

    def __init__(
        self,
        lookback: int = 48,
        horizon: int = 12,
        cell: str = "lstm",
        hidden_size: int = 64,
        layers: int = 1,
        quantiles: str = "0.1,0.5,0.9",
        lr: float = 3e-3,
        batch_size: int = 32,
        epochs: int = 20,
        validation_fraction: float = 0.2,
        options: dict[str, Any] | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        """Keep the parameters; ``fit`` checks them."""
        self.lookback = lookback
        self.horizon = horizon
        self.cell = cell
        self.hidden_size = hidden_size
        self.layers = layers
        self.quantiles = quantiles
        self.lr = lr
        self.batch_size = batch_size
        self.epochs = epochs
        self.validation_fraction = validation_fraction
        self.options = options
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: None = None) -> Self:
        """Train anew; ``y`` is there for pipelines, and not read."""
        return self._learn(self._values(X, reset=True), None, self.epochs)

    def partial_fit(self, X: Any, y: None = None) -> Self:
        """Go on for one epoch on ``X``, scaled as the first call was; ``predict()`` goes on from its end."""
        start = getattr(self, "model_", None)
        return self._learn(self._values(X, reset=start is None), start, 1)

    def predict(self, X: Any = None) -> Values:
        """The steps (S,), or (S, K), after the end of ``X``, or of what was fitted: the middle quantile."""
        found = self._forecast(X)
        own = found[:, :, Forecaster(self.model_).config.point]
        return own[:, 0] if own.shape[1] == 1 else own

    def predict_quantiles(self, X: Any = None) -> Values:
        """All quantiles, (S, K, Q)."""
        return self._forecast(X)

    def score(self, X: Any, y: None = None) -> float:
        """1 - MSE / MSE of the last value, of the last ``horizon`` steps of ``X`` after those before them."""
        check_is_fitted(self, "model_")
        values = self._values(X)
        past, future = values[: -self.horizon], values[-self.horizon :]
        found = self.predict(past).reshape(self.horizon, -1)
        naive = ((future - past[-1]) ** 2).mean()
        return float(1 - ((future - found) ** 2).mean() / (naive or 1.0))

    def _forecast(self, X: Any) -> Values:
        check_is_fitted(self, "model_")
        values = self.last_ if X is None else self._values(X)
        forecaster, T = Forecaster(self.model_), len(values)
        times = forecaster.encoding.step.after
        start = int((BEGIN - np.datetime64("1970-01-01")) / np.timedelta64(1, "s"))
        stamps = np.array([times(start, n) if n else start for n in range(T)], np.int64)
        series = Series("", stamps, values, T, list(range(1, T + 1)), "X")
        return np.asarray(forecaster.forecast(series)[1], np.float64)

    def _learn(self, values: Values, start: ModelFile | None, epochs: int) -> Self:
        seed, encoding = seed_of(self.random_state), start.encoding if start else None
        settings: ForecastSettings = settings_of(self, KIND, epochs=epochs, seed=seed)
        self.model_ = fitted(
            KIND,
            settings,
            lambda place: KIND.prepare(_written(values, place), settings, place, encoding, lambda line: None),
            start,
            self.verbose,
        )
        self.last_ = values[-self.lookback :]
        return self

    def _values(self, X: Any, reset: bool = False) -> Values:
        """The series (T, K), by scikit-learn's own checks; with ``reset`` K is kept, and else compared."""
        if np.ndim(X) == 1:
            X = np.asarray(X)[:, None]
        least = 2 if reset else 1
        values: Values = validate_data(
            self, X, reset=reset, dtype=np.float64, ensure_all_finite=False, ensure_min_samples=least
        )
        if not np.isfinite(values).all():
            at = np.argwhere(~np.isfinite(values))[0]
            raise UsageError(
                f"X step {at[0]}, series {at[1]} is {values[tuple(at)]}; expected numbers, no NaN or infinity"
            )
        return values


def _written(values: Values, place: Path) -> Path:
    """The series as the task reads them: a table with a time for each step."""
    rows = [",".join(["time", *(f"series{k}" for k in range(values.shape[1]))])]
    for n, row in enumerate(values):
        rows.append(",".join([str(BEGIN + n * DAY), *map(repr, row.tolist())]))
    path = place / "series.csv"
    path.write_text("\n".join(rows) + "\n")
    return path
