"""``train --task regress`` to its use: a number for texts and series; what is refused."""

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
from backtime.data.labelled import Reading, read_labelled
from backtime.data.numbered import number_of
from backtime.models.file import read_model
from backtime.models.saving import load_model
from backtime.tasks.regress.kind import RegressKind
from backtime.tasks.shared import scores
from shell import answers, backtime

SMALL = ["--hidden-size", 16, "--batch-size", 16, "--log-every", 5, "--dropout", 0, "--threads", 1]


pytestmark = pytest.mark.usefixtures("quick_runs")


def sums(seed: int, number: int = 200) -> dict[str, Any]:
    """Series of unequal length and 1,000 plus ten times the sum of their marked steps."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(4, 9, number)
    records = [np.stack([draw.uniform(0, 1, n), draw.random(n) < 0.4], 1) for n in lengths]
    y = [1000 + 10 * (x[:, 0] * x[:, 1]).sum() for x in records]
    return {"x": np.concatenate(records), "y": np.array(y), "lengths": lengths}


@pytest.mark.parametrize("options", [[], ["--pooling", "mean", "--bidirectional", "--cell", "gru"]])
def test_series_are_learned_and_used(options: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("some.npz", **sums(1))
    np.savez("other.npz", **sums(2, 60))
    words = ["--task", "regress", "--lr", 0.02, "--epochs", 25, "--quiet", "--schedule", "cosine"]
    backtime("train", "some.npz", *words, "--out", "run", *SMALL, *options)
    backtime("evaluate", "run", "other.npz", "--json")
    [found] = answers(capsys)
    right = sums(2, 60)["y"]
    assert found["r2"] > 0.8 and found["examples"] == 60  # the mean has 0
    backtime("predict", "run", "other.npz")
    values = np.array([row["value"] for row in answers(capsys)])
    assert np.mean((values - right) ** 2) == pytest.approx(found["mse"], rel=1e-3)
    assert np.abs(values - right).mean() == pytest.approx(found["mae"], rel=1e-3)
    deviation = read_model("run").encoding["target"]["deviation"][0]
    assert found["loss"] * deviation**2 == pytest.approx(found["mse"], rel=1e-4)


def test_texts_and_what_reads_no_torch(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    rows = [f"{'good ' * good}{'bad ' * (4 - good)}film,{good - 2}.5" for good in range(5)] * 12
    Path("stars.csv").write_text("text,stars\n" + "\n".join(rows) + "\n")
    words = ["--target-column", "stars", "--embedding-size", 8, "--lr", 0.02, "--epochs", 12, "--quiet"]
    backtime("train", "stars.csv", "--task", "regress", *words, "--out", "run", *SMALL)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"good good good good film\n")))
    monkeypatch.setitem(sys.modules, "torch", None)
    backtime("predict", "run")
    [row] = answers(capsys)
    assert row["value"] == pytest.approx(2.5, abs=0.5) and row["record"] == 1
    assert list(tasks.load("run").predict(["good good good good film"])) == [row]


@pytest.mark.parametrize("every", ["last", "hidden"])
def test_resume_is_exact_and_the_loss_is_that_of_scaled_numbers(every: str) -> None:
    np.savez("some.npz", **sums(1))
    words = ["train", "some.npz", "--task", "regress", "--quiet", *SMALL, "--recurrence", every]
    backtime(*words, "--out", "whole", "--max-steps", 20)
    backtime(*words, "--out", "parts", "--max-steps", 7)
    backtime("train", "--resume", "parts", "--quiet", "--max-steps", 20)
    one, other = (load_file(Path(run, "last/state.safetensors")) for run in ("whole", "parts"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    network, file = load_model("whole")
    x = torch.randn(5, 2)
    y, _ = network.rnn(x)
    target = torch.tensor([0.3])
    z = y @ network.head.weight[0] + network.head.bias
    right = ((z if every == "hidden" else z[-1:]) - target).square().mean()
    found = network.eval().loss(x, torch.ones(5, dtype=torch.long), target, every == "hidden")
    torch.testing.assert_close(found, right)
    assert file.encoding["target"]["mean"][0] == pytest.approx(1012, abs=3)


def test_one_number_far_from_all_others_is_no_divergence() -> None:
    y = np.r_[np.random.default_rng(0).normal(size=199), 1e4]
    np.savez("some.npz", x=sums(1)["x"], lengths=sums(1)["lengths"], y=y)
    words = ["--task", "regress", *SMALL, "--epochs", 1, "--quiet", "--log-every", 1, "--out", "run"]
    backtime("train", "some.npz", *words, "--validation-fraction", 0)
    losses = [json.loads(line)["loss"] for line in Path("run/metrics.jsonl").read_text().splitlines()]
    others = sorted(own for own in losses if own is not None)
    assert others[-2] < 0.2 and others[-1] > 5  # it is 14 deviations away, in one batch of 13
    assert others[0] == losses[0] or losses[0] < 0.2


def test_init_from_keeps_the_scale(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("some.npz", **sums(1))
    np.savez("more.npz", **{**sums(3), "y": sums(3)["y"] * 2})
    words = ["--task", "regress", "--max-steps", 2, *SMALL]
    backtime("train", "some.npz", *words, "--out", "first")
    backtime("train", "more.npz", *words, "--out", "second", "--init-from", "first", "--lr", 1e-12)
    first, second = read_model("first"), read_model("second")
    assert first.encoding["target"] == second.encoding["target"]
    assert all(abs(first.tensors[name] - second.tensors[name]).max() < 1e-9 for name in first.tensors)


def test_files_with_numbers(tmp_path: Path) -> None:
    Path("a.ts").write_text("@targetLabel true\n@data\n1,2:3,4:-1.5\n5,6:7,8:2\n")
    Path("a.jsonl").write_text('{"text": "a", "label": 1.25}\n')
    found = {name: list(read_labelled(Path(name), Reading())) for name in ("a.ts", "a.jsonl")}
    assert [number_of(own) for own in found["a.ts"]] == [-1.5, 2] and number_of(found["a.jsonl"][0]) == 1.25
    assert found["a.ts"][0].content.tolist() == [[1, 3], [2, 4]]


REFUSED = [
    ("a.csv", "text,target\na,1\nb,two\n", [], "a.csv line 3 has the target 'two'; expected a finite number"),
    ("a.csv", "text,target\na,1\nb,nan\n", [], "a.csv line 3 has the target 'nan'; expected a finite number"),
    ("a.csv", "text,target\na,1\nb,1\n", [], "a.csv has one target only, 1; expected two and more"),
    ("a.csv", "text,stars\na,1\nb,2\n", [], "a.csv line 2 has no column 'target' but text, stars"),
    ("a.csv", "text,target\na,1\nb,2\n", ["--recurrence", "hidden", "--pooling", "mean"],
     "--recurrence hidden needs --pooling last and one direction"),
    ("a.csv", "target,a,b\n1,1,2\n2,1,nan\n", [], "a.csv line 3 step 2 is nan; expected finite numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options", "reason"), REFUSED)
def test_bad_input_is_one_line_and_leaves_nothing(
    name: str, content: str, options: list[Any], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_text(content)
    backtime("train", name, "--task", "regress", *SMALL[:2], *options, status=2)
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1 and error.startswith("backtime: ")
    assert not Path("runs").exists()


def test_flow_looks_at_it(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("some.npz", **sums(1))
    backtime("train", "some.npz", "--task", "regress", *SMALL, "--max-steps", 3, "--out", "run", "--quiet")
    backtime("flow", "run", "--out", "flow")
    assert capsys.readouterr().out
    backtime("flow", "run", "--units", "--out", "units")
    assert Path("units/steps.html").stat().st_size and "gradient x input" in capsys.readouterr().out


def test_data_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    backtime("train", "--task", "regress", status=2)
    assert f"--task regress needs DATA: {RegressKind.data}" in capsys.readouterr().err


def test_scores_are_what_they_say() -> None:
    right, found = np.array([1.0, 2, 3]), np.array([1.0, 2, 5])
    assert scores.number_scores(right, found) == pytest.approx({"mse": 4 / 3, "mae": 2 / 3, "r2": -1})
    assert "r2" not in scores.number_scores(right[:1], found[:1])
