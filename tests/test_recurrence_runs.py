"""``--recurrence`` from the command line: trained, resumed, refused, exported."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import backtime.kernels as kernels
from backtime import tasks
from backtime.cli.main import main
from backtime.data.timeseries.windows import make_batch
from backtime.errors import UsageError
from backtime.models.config import LanguageConfig
from backtime.models.file import read_model
from backtime.models.saving import load_model

V, H, T, S, B = 5, 6, 4, 3, 2
pytestmark = pytest.mark.usefixtures("quick_runs")
# Runs.

TEXT = "the cat sat on the mat and the dog sat on the log\n" * 12
OF_TEXT = ["train", "text.txt", "--hidden-size", "8", "--seq-length", "5", "--batch-size", "4", "--quiet"]
OF_LOAD = [
    "train",
    "load.csv",
    "--task",
    "forecast",
    "--hidden-size",
    "8",
    "--lookback",
    "6",
    "--horizon",
    "3",
]
OF_LOAD += ["--quiet", "--batch-size", "8"]
OUTPUT = ["--recurrence", "output", "--cell", "rnn", "--layers", "1"]
RUNS = {
    "language output": [*OF_TEXT, *OUTPUT, "--output-layers", "2"],
    "language last": [*OF_TEXT, "--recurrence", "last", "--layers", "1"],
    "language hidden": [*OF_TEXT, "--recurrence", "hidden", "--output-layers", "1", "--layers", "1"],
    "forecast output": [*OF_LOAD, *OUTPUT, "--strategy", "recursive", "--calendar", "--output-layers", "1"],
    "forecast hidden": [*OF_LOAD, "--recurrence", "hidden", "--anchor", "none", "--output-layers", "2"],
    "forecast last": [*OF_LOAD, "--recurrence", "last"],
}


def write_data() -> None:
    Path("text.txt").write_text(TEXT)
    days = np.datetime64("2024-01-01") + np.arange(80)
    rows = [f"{day},{10 + t % 7 + 0.1 * (t % 3)}" for t, day in enumerate(days)]
    Path("load.csv").write_text("day,load\n" + "\n".join(rows) + "\n")


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_trained_and_its_resume_is_exact(name: str, capsys: Any) -> None:
    write_data()
    words = [*RUNS[name], "--validate-every", "4", "--save-every", "4"]
    assert main([*words, "--max-steps", "8", "--out", "whole"]) == 0
    assert main([*words, "--max-steps", "4", "--out", "parts"]) == 0
    assert main(["train", "--resume", "parts", "--max-steps", "8", "--quiet"]) == 0
    states = [load_file(f"{run}/last/state.safetensors") for run in ("whole", "parts")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    data, capsys_before = words[1], capsys.readouterr()
    assert main(["evaluate", "whole", data, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert all(np.isfinite(value) for value in scores.values()), capsys_before
    if words[1] == "load.csv":
        assert main(["predict", "whole", data]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["step"] for row in rows] == [1, 2, 3]
    else:
        assert main(["sample", "whole", "--length", "7", "--prompt", "the "]) == 0
        assert len(capsys.readouterr().out.rstrip("\n")) >= 7


@pytest.mark.parametrize("name", ["language output", "forecast output"])
def test_init_from_takes_what_recurs(name: str, capsys: Any) -> None:
    write_data()
    assert main([*RUNS[name], "--max-steps", "2", "--out", "first"]) == 0
    words = [word for word in RUNS[name][:4] if word != "--hidden-size" and word != "8"]
    again = [*words, "--init-from", "first", "--max-steps", "1", "--quiet", "--batch-size", "4"]
    assert main([*again, "--out", "second"]) == 0
    config: Any = read_model("second").config
    assert config.output_recurrence
    capsys.readouterr()
    assert main([*again, "--recurrence", "last", "--out", "third"]) == 2
    assert "--recurrence last conflicts with output of --init-from" in capsys.readouterr().err
    plain = [*words, "--cell", "rnn", "--layers", "1", "--max-steps", "1", "--quiet", "--batch-size", "4"]
    assert (
        main([*plain, *(["--strategy", "recursive"] if "load.csv" in words else []), "--out", "plain"]) == 0
    )
    assert main([*words, "--init-from", "plain", "--recurrence", "output", "--out", "fourth"]) == 2
    assert "conflicts with the state of --init-from, which recurs" in capsys.readouterr().err
    assert not Path("third").exists() and not Path("fourth").exists()


def test_what_each_pattern_can_learn() -> None:
    """b comes after every second a: the last symbol alone does not tell, the state does."""
    Path("text.txt").write_text("aab" * 400)
    words = [
        "train",
        "text.txt",
        "--cell",
        "rnn",
        "--layers",
        "1",
        "--hidden-size",
        "12",
        "--seq-length",
        "7",
    ]
    words += ["--batch-size", "8", "--lr", "0.01", "--quiet", "--epochs", "20", "--minutes", "2"]
    losses = {}
    for pattern in ("hidden", "output", "last"):
        assert main([*words, "--recurrence", pattern, "--out", pattern]) == 0
        log = [json.loads(line) for line in Path(pattern, "metrics.jsonl").read_text().splitlines()]
        losses[pattern] = log[-1]["loss"]
    bigram = 2 / 3 * np.log(2)  # after a: a or b alike; after b: a
    assert losses["output"] == pytest.approx(bigram, abs=0.01)
    assert losses["hidden"] < 0.02 and losses["last"] < 0.02


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--recurrence output", "--recurrence output with --cell lstm; expected --cell rnn"),
        ("--recurrence output --cell rnn", "with --layers 2; expected --layers 1, and --output-layers above"),
        (
            "--recurrence output --cell rnn --layers 1 --layer-norm",
            "--recurrence output with --layer-norm; expected no --layer-norm",
        ),
        (
            "--recurrence output --cell rnn --layers 1 --init orthogonal",
            "--init orthogonal; expected no --init",
        ),
        ("--recurrence output --cell rnn --layers 1 --flow-every 5", "--flow-every 5; expected no"),
        ("--recurrence last --loss-sum-over-time", "--loss-sum-over-time with --recurrence last"),
        ("--recurrence sideways", "argument --recurrence: invalid choice"),
        (
            "--task forecast --recurrence output --cell rnn",
            "--recurrence output with --strategy direct; expected --strategy recursive",
        ),
        ("--task forecast --recurrence hidden", "--recurrence hidden with --anchor last"),
    ],
)
def test_what_does_not_go_together_is_one_line(flags: str, line: str, capsys: Any) -> None:
    write_data()
    try:
        status = main(["train", "text.txt", *flags.split(), "--out", "run"])
    except SystemExit as error:
        status = int(error.code or 0)
    found = capsys.readouterr().err
    assert status == 2 and line in found and found.count("\n") == 1 and not Path("run").exists()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"cell": "lstm"}, "expected one plain layer of the cell rnn"),
        ({"layers": 2}, "expected one plain layer of the cell rnn"),
        ({"output_layers": -1}, "output_layers is -1"),
        ({"output_layers": 5000}, "expected at most 1,000"),
        ({"output_recurrence": 1}, "output_recurrence is 1"),
    ],
)
def test_a_damaged_configuration_is_named(change: dict[str, Any], line: str) -> None:
    value = LanguageConfig("rnn", H, 1, V, output_recurrence=True).to_json() | change
    with pytest.raises(UsageError, match=line):
        LanguageConfig.from_json(value)


@pytest.mark.parametrize("form", ["onnx", "c"])
def test_an_exported_model_sees_its_outputs(form: str, capsys: Any) -> None:
    """Elsewhere it is a layer whose state is not read."""
    write_data()
    assert main([*OF_TEXT, *OUTPUT, "--max-steps", "1", "--out", "run"]) == 0
    assert main(["export", "run", "--to", form, "--out", f"out.{form}"]) == 0
    assert Path(f"out.{form}").exists()
    for other in ("torch", "keras"):
        assert main(["export", "run", "--to", other, "--out", "out.other"]) == 2
        assert "the model has output recurrence" in capsys.readouterr().err


def test_a_gradient_through_time_that_is_not_there_is_one_line(capsys: Any) -> None:
    write_data()
    assert main([*OF_TEXT, *OUTPUT, "--max-steps", "1", "--out", "run"]) == 0
    assert main(["flow", "run", "text.txt", "--out", "flow"]) == 2
    found = capsys.readouterr().err
    assert "no recurrent layer" in found or "without a recurrent layer" in found


def test_a_trained_model_predicts_alike_with_and_without_pytorch() -> None:
    write_data()
    assert main([*RUNS["forecast output"], "--max-steps", "3", "--out", "run"]) == 0
    network, file = load_model("run")
    own: Any = tasks.load("run")
    (series,) = own.read(Path("load.csv"))
    rows = own.encoding.rows(own._window(series))[None]
    told = rows.copy()
    frame, point = own.encoding.frame, file.config.point
    assert kernels.available() and own.network.forecast(rows).shape == (1, 3, 1, 3)
    batch = make_batch(told, frame)
    with torch.no_grad():
        out = network.eval()(torch.from_numpy(batch.x), torch.from_numpy(batch.known))
    first = np.sort(batch.base[0] + out[0, 0].numpy())[0, point]
    paths = own.network.forecast(rows)[0, 0, 0]
    assert paths[0] < first + 1e-6 and first - 1e-6 < paths[2]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"skip_connections": True, "hidden_dropout": 0.1}, "hidden_dropout with skip_connections"),
        ({"output_recurrence": True, "hidden_dropout": 0.1}, "hidden_dropout with output_recurrence"),
        ({"output_recurrence": True, "weight_dropout": 0.1}, "hidden_dropout with output_recurrence"),
    ],
)
def test_dropout_that_a_network_has_no_place_for(options: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        LanguageConfig("rnn", H, 1, V, **options)
