"""A task that nothing in the package names goes through the whole machinery; runs of 0.1.0 still do."""

import io
import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from backtime import tasks
from backtime.cli.main import main
from backtime.errors import UsageError
from backtime.models.file import read_model
from serving import running
from shell import backtime

PAGE = Path(__file__).parents[1] / "docs" / "adding-a-task.md"
SMALL = ["--hidden-size", "12", "--layers", "1", "--batch-size", "8", "--log-every", "5"]
SMALL += ["--validate-every", "9"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, quick_runs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, example = re.findall(r"(?ms)^```python\n(.*?)^```", PAGE.read_text())
    (tmp_path / "example_total.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "example_total", raising=False)
    monkeypatch.setitem(tasks.TASKS, "total", tasks.Entry("add up digits", "example_total"))


def rows(seed: int, number: int = 300) -> str:
    draw = random.Random(seed)
    return "".join("".join(draw.choices("0123456789", k=draw.randint(1, 9))) + "\n" for _ in range(number))


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    (tmp_path / "digits.txt").write_text(rows(1))
    return tmp_path / "digits.txt"


def lines(run: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "tokens_per_second")} for line in found]


def assert_same(one: str, other: str) -> None:
    assert lines(one) == lines(other)
    first, second = (load_file(Path(run, "last/state.safetensors")) for run in (one, other))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for file in ("best", "last"):
        names = [Path(run, file, "model.safetensors") for run in (one, other)]
        assert names[0].read_bytes() == names[1].read_bytes()


def test_a_task_of_ones_own_from_training_to_use(
    digits: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    backtime("train", digits, "--task", "total", "--lr", 0.03, "--max-steps", 600, "--epochs", 99, *SMALL)
    out, error = capsys.readouterr()
    assert "300 rows, 36 steps an epoch" in error and "val accuracy" in error
    run = "runs/digits-lstm-1"
    assert out.splitlines()[-1] == f"predict backtime predict {run}"
    accuracies = [line["val_accuracy"] for line in lines(run) if line["val_accuracy"] is not None]
    best = json.loads(Path(run, "config.json").read_text())
    assert best["task"] == "total" and best["about"] == "300 rows"
    Path("other.txt").write_text(rows(2, 90))
    backtime("evaluate", run, "other.txt", "--json")
    scores = json.loads(capsys.readouterr().out)
    assert scores["accuracy"] > 0.4 and max(accuracies) > 0.4  # guessing has 0.1
    Path("asked.txt").write_text("7\n12\n")
    backtime("predict", run, "asked.txt")
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found == list(tasks.load(run).predict(tasks.load(run).read(Path("asked.txt"))))
    assert [row["digits"] for row in found] == ["7", "12"] and found[0]["total"] == 7
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"7\n")))
    backtime("predict", run, "--format", "csv")
    assert capsys.readouterr().out == "digits,total\n7,7\n"


def test_a_task_of_ones_own_is_served(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What its predictor says of JSON is enough: nothing in ``serve`` names it."""
    backtime("train", digits, "--task", "total", "--max-steps", 2, "--out", "run", *SMALL)
    with running([Path("run")]) as server:
        address = f"{server.url}/v1/models/run"
        assert httpx.get(address).json()["records"] == "texts of digits"
        found = httpx.post(f"{address}/predict", json={"records": ["7", "12"]}).json()
        predictor: Any = tasks.load("run")
        assert found["rows"] == list(predictor.predict(predictor.from_json(["7", "12"])))
        refused = httpx.post(f"{address}/predict", json={"records": ["7", "x"]})
        assert refused.status_code == 400
        assert refused.json() == {"error": "record 2 is 'x'; expected digits, like 31415"}


def test_the_best_model_is_that_of_the_main_metric(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--task", "total", "--lr", 0.02, "--max-steps", 180, "--json", "--out", "run", *SMALL]
    backtime("train", digits, *options)
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    validated = [line for line in lines("run") if line["val_accuracy"] is not None]
    best = max(
        validated, key=lambda line: line["val_accuracy"]
    )  # of equals the first: later ones are not better
    assert (summary["best_val_accuracy"], summary["best_step"]) == (best["val_accuracy"], best["step"])
    backtime("train", digits, *options[: -1 - len(SMALL)], "patient", *SMALL, "--patience", 1, "--lr", 1e-9)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["stopped_by"] == "patience"


@pytest.mark.parametrize("options", [[], ["--dropout", "0.2", "--layers", "2"], ["--cell", "gru"]])
def test_its_resume_is_exact(digits: Path, options: list[str]) -> None:
    words = ["train", digits, "--task", "total", "--quiet", *SMALL, *options]
    backtime(*words, "--out", "whole", "--max-steps", 80)
    backtime(*words, "--out", "parts", "--max-steps", 13)
    for stop in (36, 37, 80):  # in the middle of an epoch, at its end and just after it
        backtime("train", "--resume", "parts", "--quiet", "--max-steps", stop)
    assert_same("whole", "parts")


def test_its_init_from(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", digits, "--task", "total", "--max-steps", 2]
    backtime(*words, "--out", "first", *SMALL)
    backtime(*words, "--out", "second", "--init-from", "first", "--lr", 1e-12)
    old, new = read_model("first").tensors, read_model("second").tensors
    assert all(abs(old[name] - new[name]).max() < 1e-9 for name in old)
    capsys.readouterr()
    backtime(*words, "--init-from", "first", "--cell", "gru", status=2)
    assert "--cell gru conflicts with lstm of --init-from first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["train", "--task", "total"], "--task total needs DATA: file of digits, a row a line"),
        (["train", "bad.txt", "--task", "total"], "bad.txt line 2 is 'two'; expected digits, like 31415"),
        (
            ["train", "--resume", "run", "--task", "language"],
            "--task language conflicts with the run's total",
        ),
        (["train", "other.txt", "--resume", "run"], "other.txt has changed since run began"),
        (["train", "digits.txt", "--init-from", "run"], "--init-from run is of the task total, not language"),
        (["sample", "run"], "run: the task total has nothing to sample; try predict"),
        (["predict", "run", "gone.txt"], "cannot read gone.txt: No such file or directory"),
        (["predict", "gone"], "gone: no such file; expected a model file or a run folder"),
    ],
)
def test_what_is_refused_in_one_line(
    digits: Path, words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    backtime("train", digits, "--task", "total", "--max-steps", 2, "--out", "run", *SMALL)
    Path("bad.txt").write_text("1\ntwo\n")
    Path("other.txt").write_text(rows(5))
    capsys.readouterr()
    backtime(*words, status=2)
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and reason in error, error


def test_the_options_are_those_of_the_task(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, there, absent in (
        (["train", "--task", "total"], "--hidden-size", "--level"),
        (["train", "--help", "--task=total"], "file of digits", "--preset"),
        (["train"], "--level", "file of digits"),
    ):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        shown = capsys.readouterr().out
        assert there in shown and absent not in shown
    backtime("train", digits, "--task", "total", "--max-steps", 2, "--out", "run", *SMALL)
    backtime("train", "--resume", "run", "--max-steps", 3)  # the run says its task
    capsys.readouterr()
    for verb, absent in (("evaluate", "--seq-length"), ("sample", "--temperature X")):
        for word, shown in (("run", False), ("elsewhere", True)):
            with pytest.raises(SystemExit):
                main([verb, word, "--help"])
            assert (absent in capsys.readouterr().out) is shown


def test_a_model_of_a_task_that_is_not_there(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backtime("train", digits, "--task", "total", "--max-steps", 2, "--out", "run", *SMALL)
    monkeypatch.delitem(tasks.TASKS, "total")
    with pytest.raises(UsageError, match="run: the task is 'total'; expected one of language"):
        tasks.load("run")


# Version 0.1.0, which had one task: its files are made by hand from those of today.


def rewritten(file: Path, change: Any) -> None:
    """A safetensors file with its metadata changed."""
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    save_file(load_file(file), file, change(metadata))


def as_0_1_0(run: Path) -> None:
    """Turn a run folder into one that version 0.1.0 would have left."""

    def model(now: dict[str, str]) -> dict[str, str]:
        encoding = json.loads(now["encoding"])
        return {
            "format": now["format"],
            "format_version": "1",
            "kind": "language",
            "config": now["config"],
            "vocabulary": json.dumps(encoding["vocabulary"]),
        }

    def save(now: dict[str, str]) -> dict[str, str]:
        state = json.loads(now["state"])
        state["best_loss"] = state.pop("best")
        del state["window"]["counts"]
        return now | {"format_version": "1", "state": json.dumps(state)}

    for file in run.rglob("model.safetensors"):
        rewritten(file, model)
    if (run / "best/before-stop.safetensors").exists():
        rewritten(run / "best/before-stop.safetensors", model)
    rewritten(run / "last/state.safetensors", save)
    config = json.loads((run / "config.json").read_text())
    kept = {name: config[name] for name in ("backtime", "fingerprint", "init_from", "settings")}
    (run / "config.json").write_text(json.dumps(kept | {"backtime": "0.1.0", "corpus": config["data"]}))


@pytest.mark.parametrize("level", ["char", "word"])
def test_a_run_of_0_1_0_goes_on_exactly(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.txt").write_text("the cat sat on the mat and the dog sat on the cat\n" * 40)
    sizes = [
        "--hidden-size",
        "8",
        "--seq-length",
        "5",
        "--batch-size",
        "4",
        "--dropout",
        "0.3",
        "--level",
        level,
    ]
    words = ["train", "text.txt", "--log-every", "7", "--validate-every", "13", *sizes]
    backtime(*words, "--out", "whole", "--max-steps", 60)
    backtime(*words, "--out", "parts", "--max-steps", 31)
    as_0_1_0(Path("parts"))
    backtime("train", "--resume", "parts", "--max-steps", 60)
    assert_same("whole", "parts")
    as_0_1_0(Path("parts"))
    capsys.readouterr()
    for words in (["evaluate", "{}", "text.txt"], ["sample", "{}", "--quiet"], ["predict", "{}", "text.txt"]):
        shown = []
        for run in ("whole", "parts"):
            backtime(*(word.format(run) for word in words))
            shown.append(capsys.readouterr().out)
        assert shown[0] == shown[1] != ""
    backtime("train", "text.txt", "--init-from", "parts", "--max-steps", 2, *sizes[2:6])


def test_a_kind_that_0_1_0_had_not(capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.txt").write_text("abc\n" * 200)
    backtime("train", "text.txt", "--max-steps", 2, "--hidden-size", 4, "--out", "run", "--seq-length", 9)
    as_0_1_0(Path("run"))
    rewritten(Path("run/best/model.safetensors"), lambda now: now | {"kind": "tagger"})
    capsys.readouterr()
    backtime("predict", "run", "text.txt", status=2)
    assert "a model of kind 'tagger'; expected 'language'" in capsys.readouterr().err
