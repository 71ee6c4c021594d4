"""``train --task classify`` to its use, on texts, series, images and clips; what is refused."""

import io
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backtime import tasks
from backtime.data.classes import draw_held_out
from backtime.errors import UsageError
from backtime.models.file import read_model
from backtime.tasks.classify.kind import ClassifyKind
from backtime.tasks.shared import scores
from shell import answers, backtime

SMALL = ["--hidden-size", 12, "--batch-size", 16, "--log-every", 5, "--validate-every", 9, "--dropout", 0]


pytestmark = pytest.mark.usefixtures("quick_runs")


def texts(seed: int, number: int = 300) -> str:
    """Whether 'not' stands before the last word decides."""
    draw = random.Random(seed)
    lines = ["text,label"]
    for _ in range(number):
        words = draw.choices(["it", "is", "fine", "so"], k=draw.randint(1, 6))
        bad = draw.random() < 0.5
        lines.append(f"{' '.join([*words, *['not'] * bad, 'good'])},{'bad' if bad else 'good'}")
    return "\n".join(lines)


def series(seed: int, number: int = 150) -> dict[str, Any]:
    """Waves of unequal length, faster or slower, one channel or the other."""
    draw = np.random.default_rng(seed)
    lengths, y = draw.integers(12, 30, number), draw.integers(0, 3, number)
    records = []
    for length, label in zip(lengths, y, strict=True):
        wave = np.sin(np.arange(length) * (0.4 if label == 1 else 1.3) + draw.uniform(0, 6))
        own = draw.normal(0, 0.1, (length, 2))
        own[:, int(label == 2)] += wave
        records.append(own)
    return {"x": np.concatenate(records), "y": y, "lengths": lengths}


@pytest.fixture
def data() -> Path:
    Path("some.csv").write_text(texts(1))
    Path("other.csv").write_text(texts(2, 80))
    return Path("some.csv")


def lines(run: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "tokens_per_second")} for line in found]


@pytest.mark.parametrize(
    "options", [[], ["--pooling", "attention", "--level", "char"], ["--recurrence", "hidden"]]
)
def test_texts_are_learned_and_used(
    data: Path, options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = [*SMALL, "--embedding-size", 12]
    backtime(
        "train", data, "--task", "classify", "--lr", 0.01, "--epochs", 9, "--out", "run", *small, *options
    )
    out, error = capsys.readouterr()
    assert "270 examples of" in error and "30 to validate on, 2 labels" in error
    assert "predict backtime predict run" in out
    backtime("evaluate", "run", "other.csv", "--json", "--picture", "matrix.svg")
    [found] = answers(capsys)
    assert found["accuracy"] > 0.9 and found["f1"] > 0.9 and found["examples"] == 80  # guessing has 0.5
    assert Path("matrix.svg").read_text().startswith("<?xml")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"it is good\nso it is not good\n")))
    backtime("predict", "run")
    rows = answers(capsys)
    assert [row["label"] for row in rows] == ["good", "bad"]
    assert list(tasks.load("run").predict(["it is good", "so it is not good"])) == rows
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1)
    Path("asked.jsonl").write_text('{"text": "it is not good"}\n')
    backtime("predict", "run", "asked.jsonl", "--format", "csv")
    assert capsys.readouterr().out.splitlines()[1].startswith("1,bad,")


@pytest.mark.parametrize(
    "options", [["--bidirectional"], ["--pooling", "mean"], ["--pooling", "max", "--cell", "gru"]]
)
def test_series_are_learned_and_used(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("some.npz", **series(1))
    np.savez("other.npz", **series(2, 60))
    words = ["--task", "classify", "--lr", 0.01, "--epochs", 20, "--quiet", "--metric", "f1"]
    backtime("train", "some.npz", *words, "--out", "run", *SMALL, *options)
    backtime("evaluate", "run", "other.npz", "--json")
    [found] = answers(capsys)
    assert found["accuracy"] > 0.8  # guessing has 0.33
    backtime("predict", "run", "other.npz")
    rows, right = answers(capsys), series(2, 60)["y"]
    assert np.mean([int(row["label"]) == y for row, y in zip(rows, right, strict=True)]) == found["accuracy"]


@pytest.mark.parametrize("options", [[], ["--pooling", "attention", "--layers", 2, "--dropout", 0.2]])
def test_resume_is_exact(data: Path, options: list[Any]) -> None:
    words = ["train", data, "--task", "classify", "--quiet", *SMALL, *options]
    backtime(*words, "--out", "whole", "--max-steps", 50)
    backtime(*words, "--out", "parts", "--max-steps", 7)
    for stop in (17, 18, 50):  # 17 steps an epoch: at its end and just after it
        backtime("train", "--resume", "parts", "--quiet", "--max-steps", stop)
    assert lines("whole") == lines("parts")
    one, other = (load_file(Path(run, "last/state.safetensors")) for run in ("whole", "parts"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_without_validation_the_last_model_is_the_one(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--validation-fraction", 0, "--validate-every", 5, "--save-every", 3]
    backtime("train", data, "--task", "classify", *SMALL[:4], *options, "--max-steps", 10, "--out", "run")
    assert "step 10, without validation" in capsys.readouterr().out
    best, last = (read_model(f"run/{name}/model.safetensors").tensors for name in ("best", "last"))
    assert all((best[name] == last[name]).all() for name in best)


def test_init_from(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", data, "--task", "classify", "--max-steps", 2]
    backtime(*words, "--out", "first", *SMALL)
    backtime(*words, "--out", "second", "--init-from", "first", "--lr", 1e-12)
    old, new = read_model("first").tensors, read_model("second").tensors
    assert all(abs(old[name] - new[name]).max() < 1e-9 for name in old)
    backtime(*words, "--init-from", "first", "--pooling", "max", status=2)
    assert "--pooling max conflicts with last of --init-from first" in capsys.readouterr().err


def test_predicts_as_it_comes_and_without_torch(data: Path) -> None:
    backtime("train", data, "--task", "classify", "--max-steps", 2, "--out", "run", *SMALL)
    code = "import sys; sys.modules['torch'] = None\nfrom backtime.cli.main import main\nmain()"
    command = [sys.executable, "-c", code, "predict", "run"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin and process.stdout
        for number in (1, 2):
            process.stdin.write("it is good\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["record"] == number
        process.stdin.close()
    assert process.returncode == 0


SERIES = "@classLabel true a b\n@data\n1,2:3,4:a\n1,2:3,4:b\n1,2:3,4:b\n"
REFUSED = [
    ("a.csv", "text,label\na,x\nb,x\n", [], "a.csv has one label only, 'x'; expected two and more"),
    ("a.csv", "text,label\n", [], "a.csv has no examples in it; expected CSV, TSV or JSON lines of texts"),
    ("a.csv", 'text,label\n"a\nb",x\n', [], "a.csv line 2: a quote does not end in its line"),
    ("a.csv", "word,tag\na,x\n", [], "a.csv line 2 has no column 'text' but word, tag; expected a text and"),
    ("a.csv", "text,label\na,x\nb,y\n", ["--valid-file", "other.csv"],
     "other.csv line 2: the label 'good' was not in training; expected one of x, y"),
    ("a.csv", "text,label\na,x\nb,y\n", ["--recurrence", "hidden", "--bidirectional"],
     "--recurrence hidden needs --pooling last and one direction"),
    ("a.ts", SERIES + "1,nan:3,4:a\n", [], "a.ts line 6 channel 1 step 2 is nan; expected finite numbers"),
    ("a.ts", SERIES + "1,2:a\n", [], "a.ts line 6 has 1 numbers a step; expected 2, as a.ts line 3"),
    ("book.txt", "Once\n", [], "book.txt is of another kind; expected CSV, TSV or JSON lines of texts, .ts"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options", "reason"), REFUSED)
def test_bad_input_is_one_line_and_leaves_nothing(
    data: Path, name: str, content: str, options: list[Any], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("other.csv").write_text("text,label\na,good\n")
    Path(name).write_text(content)
    backtime("train", name, "--task", "classify", *SMALL[:2], *options, status=2)
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1 and error.startswith("backtime: ")
    assert not Path("runs").exists()


def test_use_refuses_in_one_line(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backtime("train", data, "--task", "classify", "--max-steps", 2, "--out", "run", *SMALL)
    Path("new.csv").write_text("text,label\nit,strange\n")
    for verb in ("evaluate", "predict"):
        backtime(verb, "run", "new.csv", status=2)
        error = capsys.readouterr().err
        assert "new.csv line 2: the label 'strange' was not in training; expected one of bad, good" in error
    Path("empty.txt").write_text("it\n\n")
    backtime("predict", "run", "empty.txt", status=2)
    assert "empty.txt line 2 has an empty text; expected at least one word" in capsys.readouterr().err
    np.savez("n.npz", x=np.zeros((2, 3, 1)), y=["bad", "good"])
    backtime("evaluate", "run", "n.npz", status=2)
    assert "n.npz record 0 is numbers; expected texts, as in training" in capsys.readouterr().err
    backtime("evaluate", "run", "some.csv", "--picture", "matrix.doc", status=2)
    assert "--picture matrix.doc has the ending '.doc'; expected .svg, .png, .pdf" in capsys.readouterr().err


def test_an_image_of_another_size(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("a.npz", x=np.arange(96, dtype=np.uint8).reshape(4, 6, 4), y=[0, 1, 0, 1])
    for steps in ("rows", "pixels"):
        words = ["--task", "classify", "--max-steps", 1, "--validation-fraction", 0, "--image-steps", steps]
        backtime("train", "a.npz", *words, "--out", steps, *SMALL)
        np.savez("b.npz", x=np.zeros((1, 6, 5), np.uint8))
        capsys.readouterr()
        backtime("predict", steps, "b.npz", status=2)
        assert "b.npz record 0 is 6 x 5; expected 6 x 4, as in training" in capsys.readouterr().err


def test_the_held_out_share_is_one_of_every_label() -> None:
    labels = ["a"] * 40 + ["b"] * 20 + ["c"]
    chosen = draw_held_out(labels, 0.1, seed=1)
    assert [sum(labels[n] == label for n in chosen) for label in "abc"] == [4, 2, 0]
    assert chosen == draw_held_out(labels, 0.1, seed=1) != draw_held_out(labels, 0.1, seed=2)
    assert len(draw_held_out(["a", "b"], 0.9, seed=1)) == 0  # one of each stays to train on


def test_scores_are_what_they_say() -> None:
    right, found = [0, 0, 0, 1], [0, 0, 1, 1]
    assert scores.accuracy(right, found) == 0.75
    assert scores.macro_f1(right, found) == pytest.approx((2 * 2 / 5 + 2 * 1 / 3) / 2)
    assert scores.confusion(right, found, [0, 1]).tolist() == [[2, 1], [0, 1]]


def test_data_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    backtime("train", "--task", "classify", status=2)
    assert f"--task classify needs DATA: {ClassifyKind.data}" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--pooling is 'sum'"):
        ClassifyKind.settings(pooling="sum")
