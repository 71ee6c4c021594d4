"""``--task forecast``: what is refused, in one line."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtime.data.timeseries.times import parse
from backtime.errors import UsageError
from backtime.models.file import read_model, write_model
from forecast_tables import SMALL, table, trained
from shell import backtime, printed

pytestmark = pytest.mark.usefixtures("quick_runs")


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
