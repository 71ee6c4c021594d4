"""``--task forecast``: the network and its runtime against their definition."""

from typing import Any

import numpy as np
import pytest
import torch

from backtime.data.timeseries.windows import Frame, make_batch
from backtime.errors import UsageError
from backtime.models.forecast_config import ForecastConfig
from backtime.models.forecaster import Forecaster
from backtime.runtime.forecast_network import PATHS, ForecastNetwork

pytestmark = pytest.mark.usefixtures("quick_runs")


def network(strategy: str, cell: str = "gru", **options: Any) -> tuple[Forecaster, Frame, ForecastNetwork]:
    """A network of random weights, and the runtime's of the same weights; two targets, one known column."""
    torch.manual_seed(4)
    past = 1 if strategy == "direct" else 0
    sizes: dict[str, Any] = {"targets": 2, "past": past, "known": 1, "horizon": 3, "strategy": strategy}
    anchor = options.pop("anchor", "last")
    model = Forecaster(ForecastConfig(cell=cell, hidden_size=7, layers=2, **sizes, **options)).double().eval()
    frame = Frame(5, 3, 2, 1, 4, anchor, strategy)
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    assert {name: value.shape for name, value in weights.items()} == model.config.shapes()
    return model, frame, ForecastNetwork(model.config, frame, weights)


def windows(frame: Frame, columns: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((6, frame.lookback + frame.horizon, columns))


# The network. Both sides compute in float64, in another order: 1e-12 is thousands of roundings.


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("anchor", ["none", "last", "season"])
def test_direct_forecasts_are_those_of_the_torch_network(cell: str, anchor: str) -> None:
    model, frame, runtime = network("direct", cell, anchor=anchor)
    rows = windows(frame, 4)
    batch = make_batch(rows, frame)
    with torch.no_grad():
        out = model(*(torch.from_numpy(part) for part in (batch.x, batch.known))).numpy()
    found = runtime.forecast(rows)
    np.testing.assert_allclose(found[..., 0].swapaxes(0, 1), batch.base + out[..., 0], atol=1e-12)
    rows[:, frame.lookback :, :3] = np.nan  # what is not known of the future is not read
    np.testing.assert_array_equal(runtime.forecast(rows), found)


@pytest.mark.parametrize("anchor", ["none", "last", "season"])
def test_recursive_forecasts_go_on_from_themselves(anchor: str) -> None:
    """By the definition: put each forecast in the place of the truth and read the whole window again."""
    model, frame, runtime = network("recursive", anchor=anchor)
    rows = windows(frame, 3)
    found = runtime.forecast(rows)
    told = rows.copy()
    for k in range(frame.horizon):
        batch = make_batch(told, frame)
        with torch.no_grad():
            out = model(*(torch.from_numpy(part) for part in (batch.x, batch.known))).numpy()
        told[:, frame.lookback + k, :2] = batch.base[k] + out[k, :, :, 0]
    np.testing.assert_allclose(found[..., 0], told[:, frame.lookback :, :2], atol=1e-12)


def test_quantiles_rise_and_do_not_depend_on_other_windows() -> None:
    for strategy, columns in (("direct", 4), ("recursive", 3)):
        _, frame, runtime = network(strategy, quantiles=(0.1, 0.5, 0.8))
        rows = windows(frame, columns).astype(np.float32)
        found = runtime.forecast(rows)
        assert found.shape == (6, 3, 2, 3) and (np.diff(found, axis=3) >= 0).all()
        np.testing.assert_allclose(runtime.forecast(rows[2:3])[0], found[2], rtol=1e-6)


def test_futures_spread_as_those_of_a_random_walk() -> None:
    """A network that says -1, 0 or 1 with the quantiles 1/6, 1/2, 5/6 whatever it read: steps are uniform in
    (-1.5, 1.5), with the deviation sqrt(3)/2, and after S steps the walk's is sqrt(S) times that.
    """
    sizes: dict[str, Any] = {"targets": 1, "past": 0, "known": 0, "horizon": 9, "strategy": "recursive"}
    config = ForecastConfig(cell="rnn", hidden_size=1, layers=1, **sizes, quantiles=(1 / 6, 0.5, 5 / 6))
    weights = {name: np.zeros(shape) for name, shape in config.shapes().items()}
    weights["head.bias"] = np.array([-1.0, 0, 1])
    frame = Frame(2, 9, 1, 0, 1, "last", "recursive")
    [found] = ForecastNetwork(config, frame, weights).forecast(np.zeros((1, 11, 1)))
    low, middle, high = found[8, 0]
    deviation = 3 * np.sqrt(3) / 2
    quantile = 0.9674 * deviation  # of the normal distribution at 5/6
    # the error of a quantile of 100 draws is some 0.15 deviations; three times that
    assert abs(middle) < 0.45 * deviation and PATHS == 100
    assert abs(high - quantile) < 0.45 * deviation and abs(low + quantile) < 0.45 * deviation
    np.testing.assert_allclose(found[0, 0], [-1, 0, 1], atol=0.45 * np.sqrt(3) / 2)


def test_configurations_that_do_not_fit() -> None:
    sizes: dict[str, Any] = {
        "cell": "gru",
        "hidden_size": 4,
        "layers": 1,
        "targets": 1,
        "past": 0,
        "known": 0,
    }
    good = sizes | {"horizon": 3, "strategy": "direct", "quantiles": (0.1, 0.5)}
    assert ForecastConfig.from_json(ForecastConfig(**good).to_json()) == ForecastConfig(**good)
    for change, reason in (
        ({"quantiles": (0.5, 0.1)}, "quantiles are \\(0.5, 0.1\\); expected rising"),
        ({"quantiles": (0.1, 0.9)}, "with 0.5 among them"),
        ({"quantiles": (0.5, 1.0)}, "between 0 and 1"),
        ({"quantiles": ("a",)}, r"quantiles are \('a',\)"),
        ({"strategy": "both"}, "strategy is 'both'"),
        ({"horizon": 0}, "horizon is 0"),
        ({"horizon": True}, "horizon is True"),
        ({"strategy": "recursive", "past": 1}, "recursive strategy with columns known up to now"),
        ({"cell": "tcn"}, "cell is 'tcn'"),
    ):
        with pytest.raises(UsageError, match=reason):
            ForecastConfig(**{**good, **change})
