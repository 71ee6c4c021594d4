"""``--task forecast``: the network against its definition, the scores, the command line."""

import csv
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backtime import tasks
from backtime.cli.main import main
from backtime.data.timeseries.encoding import SeriesEncoding
from backtime.data.timeseries.times import parse
from backtime.data.timeseries.windows import Frame, Windows, make_batch
from backtime.errors import UsageError
from backtime.models.file import read_model, write_model
from backtime.models.forecast_config import ForecastConfig
from backtime.models.forecaster import Forecaster
from backtime.runtime.forecast_network import PATHS, ForecastNetwork
from backtime.tasks import runs

SMALL = ["--task", "forecast", "--hidden-size", 8, "--lookback", 8, "--horizon", 4, "--log-every", 5]
SMALL += ["--quiet", "--season", 6]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(runs, "draw_curves", lambda *parts: None)


def table(name: str, rows: int = 90, future: int = 0, shops: str = "", noise: float = 0.1) -> Path:
    """A season of six days around a level, lifted where ``promotion`` is 1; ``shops`` stand in turn."""
    rng, lines = (
        np.random.default_rng(3),
        ["day,shop,sales,promotion,stock" if shops else "day,sales,promotion,stock"],
    )
    for t in range(rows + future):
        day = np.datetime64("2024-01-01") + t
        for shop in shops or " ":
            promotion = int(rng.random() < 0.3)
            sales = 50 + 10 * np.sin(2 * np.pi * t / 6) + 20 * promotion + noise * rng.standard_normal()
            stock = f"{rng.standard_normal():.3f}"
            cells = [str(day), *([shop] if shops else []), f"{sales:.4f}", str(promotion), stock]
            if t >= rows:
                cells[-3] = cells[-1] = ""
            lines.append(",".join(cells))
    Path(name).write_text("\n".join(lines) + "\n")
    return Path(name)


def backtime(*words: Any, status: int = 0) -> None:
    assert main([str(word) for word in words]) == status


def printed(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    capsys.readouterr()
    backtime(*words)
    return capsys.readouterr().out


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


# The command line.


def trained(*words: Any, data: str = "sales.csv") -> str:
    options = ["--target", "sales", "--known", "promotion", "--past", "stock"]
    backtime("train", data, *SMALL, *options, *words, "--out", "run")
    return "run"


def test_from_a_table_to_a_forecast(capsys: pytest.CaptureFixture[str]) -> None:
    """Season and promotions are there to be learnt: far better than both naive forecasts."""
    table("sales.csv", 300)
    run = trained("--loss", "quantile", "--epochs", 20, "--until", "2024-09-17", "--lr", 0.01)
    scores = json.loads(printed(capsys, "evaluate", run, "sales.csv", "--since", "2024-09-17", "--json"))
    assert scores["windows"] == 300 - 260 - 3
    assert scores["mae"] < 0.5 * min(scores["naive_mae"], scores["seasonal_mae"])
    assert scores["mase"] < 0.5 and 0.3 < scores["coverage"] <= 1
    source = table("future.csv", 50, future=4, noise=0.0)
    rows = [json.loads(line) for line in printed(capsys, "predict", run, source).splitlines()]
    assert [row["time"] for row in rows] == ["2024-02-20", "2024-02-21", "2024-02-22", "2024-02-23"]
    assert list(rows[0]) == ["time", "step", "target", "forecast", "q0.1", "q0.5", "q0.9"]
    promotions = [int(line.split(",")[2]) for line in source.read_text().splitlines()[-4:]]
    truth = [
        50 + 10 * np.sin(2 * np.pi * t / 6) + 20 * p for t, p in zip(range(50, 54), promotions, strict=True)
    ]
    np.testing.assert_allclose([row["forecast"] for row in rows], truth, atol=6)
    assert all(row["q0.1"] <= row["forecast"] == row["q0.5"] <= row["q0.9"] for row in rows)


def test_scores_by_their_definition() -> None:
    table("sales.csv", shops="ab")
    trained("--series-column", "shop", "--max-steps", 3, "--transform", "log", "--calendar", "--scale-each")
    found = tasks.find("forecast").evaluate(
        read_model("run"), Path("sales.csv"), tasks.find("forecast").evaluation(stride=3), Path()
    )
    forecaster: Any = tasks.load("run")
    q, errors, naive, seasonal, losses, inside, count = np.array([0.1, 0.5, 0.9]), [], [], [], [], [], 0
    frame = forecaster.encoding.frame
    for series in forecaster.read(Path("sales.csv")):
        for end in range(90 - 4, frame.lookback - 1, -3):
            promoted = series.values[end : end + 4]
            _, values = forecaster.forecast(series._replace(observed=end, values=series.values))
            truth, count = promoted[:, 0], count + 1
            errors.append(values[:, 0, 1] - truth)
            naive.append(series.values[end - 1, 0] - truth)
            seasonal.append(series.values[end - 6 : end - 2, 0] - truth)
            e = truth[:, None] - values[:, 0]
            losses.append(np.where(e > 0, q * e, (q - 1) * e))
            inside.append((values[:, 0, 0] <= truth) & (truth <= values[:, 0, 2]))
    expected = {"windows": count, "mae": np.abs(errors).mean(), "mse": np.square(errors).mean()}
    expected |= {"naive_mae": np.abs(naive).mean(), "seasonal_mae": np.abs(seasonal).mean()}
    expected |= {
        "naive_mse": np.square(naive).mean(),
        "pinball": np.mean(losses),
        "coverage": np.mean(inside),
    }
    expected["mase"] = expected["mae"] / SeriesEncoding.from_json(read_model("run").encoding).seasonal_mae[0]
    # float32 networks of the same rows side by side: the sums of a row do not depend on the others
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_scales_come_from_the_training_part_alone() -> None:
    source = table("sales.csv")
    trained("--max-steps", 1)
    first = read_model("run").encoding
    lines = source.read_text().splitlines()
    held = round(90 * 0.2)
    changed = [",".join([*line.split(",")[:1], "9999", "1", "77"]) for line in lines[-held:]]
    source.write_text("\n".join(lines[:-held] + changed) + "\n")
    backtime("train", source, *SMALL, "--target", "sales", "--known", "promotion", "--past", "stock",
             "--max-steps", 1, "--out", "other")  # fmt: skip
    assert read_model("other").encoding == first
    lines[-held - 1] = lines[-held - 1].split(",")[0] + ",9999,1,77"
    source.write_text("\n".join(lines) + "\n")
    backtime("train", source, *SMALL, "--target", "sales", "--known", "promotion", "--past", "stock",
             "--max-steps", 1, "--out", "third")  # fmt: skip
    assert read_model("third").encoding != first


@pytest.mark.parametrize(
    "options",
    [
        ["--past", "stock"],
        ["--strategy", "recursive"],
        ["--strategy", "recursive", "--loss", "mse", "--anchor", "season", "--dropout", 0.2],
        ["--loss", "mae", "--anchor", "none", "--cell", "lstm", "--layers", 2, "--calendar"],
    ],
)
def test_its_resume_is_exact_and_its_models_begin_others(options: list[Any]) -> None:
    table("sales.csv")
    words = ["train", "sales.csv", *SMALL, "--target", "sales", "--known", "promotion", *options]
    words += ["--validate-every", 3, "--batch-size", 8]
    backtime(*words, "--out", "whole", "--max-steps", 14)
    backtime(*words, "--out", "parts", "--max-steps", 7)
    backtime("train", "--resume", "parts", "--max-steps", 14, "--quiet")
    states = [load_file(f"{run}/last/state.safetensors") for run in ("whole", "parts")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    models = [Path(run, "best/model.safetensors").read_bytes() for run in ("whole", "parts")]
    assert models[0] == models[1]
    backtime("train", "sales.csv", "--task", "forecast", "--init-from", "whole", "--max-steps", 1, "--quiet")
    config = read_model(next(Path("runs").glob("sales-*"))).config
    assert config.shapes() == read_model("whole").config.shapes()


def test_predict_reads_stdin_writes_csv_and_draws(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table("sales.csv", shops="ab", future=5)
    text = Path("sales.csv").read_text()
    observed = "\n".join(line for line in text.splitlines() if ",," not in line) + "\n"
    Path("past.csv").write_text(observed)
    trained("--series-column", "shop", "--max-steps", 2, data="past.csv")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    out = printed(capsys, "predict", "run", "--format", "csv", "--picture", "forecast.svg")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["series"], row["step"]) for row in rows] == [(s, str(k)) for s in "ab" for k in range(1, 5)]
    assert rows[0]["time"] == "2024-03-31"
    picture = Path("forecast.svg").read_text()
    assert picture.startswith("<?xml") and picture.count("FillBetweenPolyCollection") == 2  # a band a series


def test_predicts_without_torch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    table("sales.csv")
    backtime("train", "sales.csv", *SMALL, "--max-steps", 2, "--out", "run")
    expected = printed(capsys, "predict", "run", "sales.csv")
    code = "import sys; sys.modules['torch'] = None; from backtime.cli.main import main; main(sys.argv[1:])"
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", code, "predict", "run", "sales.csv"], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == (expected, "") and expected.count("\n") == 3 * 4


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["train", "--task", "forecast"], "needs DATA: CSV or Parquet file with a column of times"),
        (["train", "poem.txt", "--task", "forecast"], "no column left to forecast; expected a header"),
        (["train", "gap.csv", *SMALL], "gap.csv line 91 has the time 2024-03-31 after 2024-03-29"),
        (["train", "nan.csv", *SMALL], "nan.csv line 92, column 'sales', is 'nan'"),
        (["train", "sales.csv", *SMALL, "--lookback", 99], "the series has 90 rows, up to sales.csv line 91"),
        (["train", "sales.csv", *SMALL, "--lookback", 80], "leaves 72 to train on; expected 84 or more"),
        (["train", "sales.csv", *SMALL, "--validation-fraction", 0.01], "is 1; expected a --horizon of 4"),
        (["train", "sales.csv", *SMALL, "--until", "soon"], "--until is 'soon'; expected a time"),
        (["train", "sales.csv", *SMALL, "--until", "1999-01-01"], "--until 1999-01-01 leaves no row"),
        (["train", "sales.csv", *SMALL, "--until", "1999"], "--until is '1999'; expected a time"),
        (["train", "sales.csv", *SMALL, "--quantiles", "0.1,x"], "--quantiles is '0.1,x'"),
        (["train", "sales.csv", *SMALL, "--quantiles", "0.1,0.9"], "with 0.5 among them"),
        (["train", "sales.csv", *SMALL, "--anchor", "season", "--season", 9], "less than the season of 9"),
        (["train", "sales.csv", *SMALL, "--transform", "log"], "'promotion', is 0; expected a number above"),
        (["train", "sales.csv", *SMALL, "--past", "stock", "--strategy", "recursive"], "future is not known"),
        (["train", "numbers.csv", *SMALL, "--calendar"], "--calendar with times that are numbers"),
        (["train", "shops.csv", *SMALL], "expected each time once; several series in one table need"),
        (["evaluate", "run", "short.csv"], "short.csv has no stretch of 8 rows and 4 to forecast"),
        (["evaluate", "run", "sales.csv", "--since", "2030-01-01"], "from 2030-01-01 on; expected one"),
        (["predict", "run", "short.csv"], "the series ends at short.csv line 6 with 5 rows"),
        (["predict", "run", "sales.csv"], "has 0 rows of future with promotion; expected 4"),
        (["predict", "run", "hours.csv"], "hours.csv has rows 1 hour apart; the model was trained on 1 day"),
        (["predict", "run", "names.csv"], "names.csv has no column 'sales'; it has day, turnover"),
        (["predict", "run", "future.csv", "--picture", "x.bmp"], "a name that ends in .svg, .png, .pdf"),
        (["train", "sales.csv", *SMALL, "--init-from", "run", "--loss", "mae"], "quantiles of --init-from"),
        (["train", "sales.csv", *SMALL, "--init-from", "run", "--cell", "gru"], "conflicts with lstm"),
    ],
)  # fmt: skip
def test_what_is_refused_in_one_line(
    words: list[Any], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = table("sales.csv").read_text()
    table("future.csv", 50, future=4)
    table("shops.csv", 20, shops="ab")
    trained("--max-steps", 1)
    Path("poem.txt").write_text("A poem\nRoses\nare red\n")
    Path("gap.csv").write_text(text.replace("2024-03-30,", "2024-03-31,"))
    Path("nan.csv").write_text(text + "2024-03-31,nan,1,2\n")
    Path("short.csv").write_text("".join(text.splitlines(keepends=True)[:6]))
    hours = [f"2024-01-01 {h:02}:00,{h},0,0" for h in range(24)]
    Path("hours.csv").write_text("day,sales,promotion,stock\n" + "\n".join(hours) + "\n")
    Path("names.csv").write_text("day,turnover\n2024-01-01,1\n")
    Path("numbers.csv").write_text("t,v\n" + "".join(f"{t},{t % 5}\n" for t in range(90)))
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    backtime(*words, status=2)
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and reason in error, error
    assert sorted(Path().rglob("*")) == before  # nothing was written


def test_short_stretches_between_gaps_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    lines = table("sales.csv").read_text().splitlines()
    Path("gaps.csv").write_text("\n".join([*lines[:5], *lines[7:50], *lines[52:]]) + "\n")
    options = [word for word in SMALL if word != "--quiet"]
    backtime("train", "gaps.csv", *options, "--gaps", "split", "--max-steps", 1, "--out", "split")
    error = capsys.readouterr().err
    assert "1 stretches between gaps are shorter than a window" in error and "2 series of 82 rows" in error
    backtime("train", "gaps.csv", *options, "--gaps", "fill", "--max-steps", 1, "--out", "fill")
    assert "90 rows, 1 day apart" in capsys.readouterr().err
    rows = [json.loads(line) for line in printed(capsys, "predict", "split", "gaps.csv").splitlines()]
    assert {row["time"] for row in rows} == {"2024-03-31", "2024-04-01", "2024-04-02", "2024-04-03"}


def test_a_damaged_encoding_is_refused() -> None:
    table("sales.csv")
    trained("--max-steps", 1)
    good = read_model("run").encoding
    config = read_model("run").config
    config.check_encoding(good)
    for part, change in (
        ("columns", {"targets": ["sales", "more"]}),
        ("columns", {"extra": 1}),
        ("windows", {"horizon": 5}),
        ("windows", {"lookback": "8"}),
        ("windows", {"anchor": "first"}),
        ("windows", {"anchor": ["last"]}),
        ("scales", {"parts": {}}),
        ("scales", {"transform": "sqrt"}),
        ("series", {"step": ["months", 0]}),
        ("series", {"calendar": True}),
        ("series", {"gaps": "ignore"}),
        ("series", {"seasonal_mae": []}),
    ):
        with pytest.raises(UsageError):
            config.check_encoding({**good, part: {**good[part], **change}})
    with pytest.raises(UsageError):
        config.check_encoding({})
    assert parse("2024-01-01", "%Y-%m-%d") == 1704067200 * 10**6


def test_a_model_that_has_diverged_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    table("sales.csv")
    for options in ([], ["--strategy", "recursive"], ["--transform", "log", "--anchor", "none"]):
        backtime(
            "train", "sales.csv", *SMALL, "--target", "sales", *options, "--max-steps", 1, "--out", "run"
        )
        file = read_model("run")
        weights = {name: np.full_like(value, 1e38) for name, value in file.tensors.items()}
        write_model("broken.safetensors", file._replace(tensors=weights))
        for verb in ("predict", "evaluate"):
            capsys.readouterr()
            backtime(verb, "broken.safetensors", "sales.csv", status=2)
            out, error = capsys.readouterr()
            assert out == "" and error.count("\n") == 1 and "its training has diverged" in error
        shutil.rmtree("run")


def test_windows_of_the_parts_do_not_share_a_future() -> None:
    table("sales.csv")
    kind = tasks.find("forecast")
    settings = kind.settings(lookback=8, horizon=4, season=6, max_steps=1)
    data: Any = kind.prepare(Path("sales.csv"), settings, Path(), None, print)
    border = data.borders[0]
    training, held = data.windows("training"), data.windows("validation")
    assert isinstance(training, Windows) and border == 72
    assert max(at for _, at in training.places) + 12 == border
    assert min(at for _, at in held.places) + 8 == border and max(at for _, at in held.places) + 12 == 90
