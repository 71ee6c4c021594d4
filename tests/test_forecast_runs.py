"""``--task forecast`` from a table to a forecast: scores, scales, resume, predict."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backtime import tasks
from backtime.data.timeseries.encoding import SeriesEncoding
from backtime.data.timeseries.windows import Windows
from backtime.models.file import read_model
from forecast_tables import SMALL, table, trained
from shell import backtime, printed

pytestmark = pytest.mark.usefixtures("quick_runs")


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
