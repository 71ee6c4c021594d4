"""``train --task tag`` to its use: learned, resumed to the bit, evaluated, predicted; what is refused."""

import io
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from backtime import tasks
from backtime.data.columns import read_tagged
from backtime.models.file import read_model
from backtime.tasks.shared import scores
from backtime.tasks.tag import TagSettings
from backtime.tasks.tag.kind import TagKind
from shell import backtime

SMALL = ["--hidden-size", 12, "--word-size", 8, "--character-size", 6, "--spelling-size", 5]
SMALL += ["--batch-size", 8, "--log-every", 5, "--validate-every", 9, "--dropout", 0.1]


pytestmark = pytest.mark.usefixtures("quick_runs")


def sentences(seed: int, number: int = 160) -> str:
    """Numbers are tagged by what follows them: both directions and spelling are needed."""
    draw = random.Random(seed)
    lines = []
    for _ in range(number):
        words = [
            draw.choice(["go", "to", "Ann", "Bob", str(draw.randint(1, 999))])
            for _ in range(draw.randint(1, 9))
        ]
        for at, word in enumerate(words):
            tag = "B-name" if word[0].isupper() else "O"
            if word.isdecimal():
                tag = "B-last" if at + 1 == len(words) else "B-count"
            lines.append(f"{word} {tag}")
        lines.append("")
    return "\n".join(lines)


@pytest.fixture
def data() -> Path:
    Path("some.conll").write_text(sentences(1))
    Path("other.conll").write_text(sentences(2, 40))
    return Path("some.conll")


def lines(run: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "tokens_per_second")} for line in found]


@pytest.mark.parametrize("options", [[], ["--crf"]])
def test_learns_and_is_used(
    data: Path, options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--task", "tag", "--valid-file", "other.conll", "--metric", "f1", "--lr", 0.01, "--epochs", 12]
    backtime("train", data, *words, "--out", "run", *SMALL, *options)
    out, error = capsys.readouterr()
    assert "160 sentences of" in error and "40 to validate on, 4 tags" in error
    assert "predict backtime predict run" in out
    backtime("evaluate", "run", "other.conll", "--json")
    found = json.loads(capsys.readouterr().out)
    best = max(line["val_f1"] for line in lines("run") if line["val_f1"] is not None)
    assert found["f1"] == best > 0.9 and found["accuracy"] > 0.9 and found["sentences"] == 40
    assert {"precision", "recall", "loss", "words"} < found.keys()
    backtime("predict", "run", "other.conll")
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    right = [sentence.tags for sentence in read_tagged(Path("other.conll"))]
    same = [
        a == b for row, own in zip(rows, right, strict=True) for a, b in zip(row["tags"], own, strict=True)
    ]
    assert sum(same) / len(same) == pytest.approx(found["accuracy"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"go Ann\nBob\n")))
    backtime("predict", "run", "--format", "csv")
    assert capsys.readouterr().out.splitlines() == [
        "sentence,words,tags",
        '1,"[""go"", ""Ann""]","[""O"", ""B-name""]"',
        '2,"[""Bob""]","[""B-name""]"',
    ]
    rows = list(tasks.load("run").predict(["go Ann", ["Bob"]]))
    assert [row["tags"] for row in rows] == [["O", "B-name"], ["B-name"]]


@pytest.mark.parametrize("options", [[], ["--crf", "--layers", 2], ["--cell", "gru", "--word-dropout", 3]])
def test_resume_is_exact(data: Path, options: list[Any]) -> None:
    words = ["train", data, "--task", "tag", "--quiet", "--save-every", 6, *SMALL, *options]
    backtime(*words, "--out", "whole", "--max-steps", 50)
    backtime(*words, "--out", "parts", "--max-steps", 7)
    for stop in (19, 20, 50):  # 19 steps an epoch: at its end and just after it
        backtime("train", "--resume", "parts", "--quiet", "--max-steps", stop)
    assert lines("whole") == lines("parts")
    one, other = (load_file(Path(run, "last/state.safetensors")) for run in ("whole", "parts"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_init_from(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", data, "--task", "tag", "--max-steps", 2]
    backtime(*words, "--out", "first", *SMALL)
    backtime(*words, "--out", "second", "--init-from", "first", "--lr", 1e-12)
    old, new = read_model("first").tensors, read_model("second").tensors
    assert all(abs(old[name] - new[name]).max() < 1e-9 for name in old)
    backtime(*words, "--init-from", "first", "--crf", status=2)
    assert "--crf True conflicts with False of --init-from first" in capsys.readouterr().err


def test_predicts_as_it_comes_and_without_torch(data: Path) -> None:
    backtime("train", data, "--task", "tag", "--max-steps", 2, "--out", "run", *SMALL)
    code = "import sys; sys.modules['torch'] = None\nfrom backtime.cli.main import main\nmain()"
    command = [sys.executable, "-c", code, "predict", "run"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin and process.stdout
        for number in (1, 2):
            process.stdin.write("go Ann\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["sentence"] == number
        process.stdin.close()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        ("Once upon a time\n", [], "line 1: all words have the tag 'time'; expected two and more"),
        ("Once upon\na time and\n", [], "line 2 has 3 columns; expected 2, as in line 1: a word and its tag"),
        ("Once\n", [], "line 1 has 1 column; expected a word and its tag a line, like 'London B-city'"),
        ("a X\nb Y\n", ["--metric", "f1"], "--metric f1 needs tags of entities, B-X I-X O"),
        ("a X\nb X\n", [], "bad.conll line 1: all words have the tag 'X'; expected two and more"),
        ("", [], "bad.conll has no sentences to train on; expected words and their tags"),
        ("a X\nb Y\n\nc Z\n", ["--validation-fraction", 0.5],
         "bad.conll line 4: the tag 'Z' was not in training; expected one of X, Y"),
        ("a X\nb Y\n", ["--valid-file", "gone"], "/gone: No such file or directory"),
        ("a X\nb Y\n", ["--valid-file", "some.conll"], "some.conll line 1: the tag 'B-"),
        ("a X\nb Y\n", ["--dropout", 1], "--dropout is 1.0; expected 0 or more and less than 1"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(
    data: Path, content: str, options: list[Any], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("some.conll").write_text("a B-z\n")
    Path("bad.conll").write_text(content)
    backtime("train", "bad.conll", "--task", "tag", *options, *SMALL[:8], status=2)
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1 and error.startswith("backtime: ")
    assert not Path("runs").exists()


def test_evaluate_and_predict_refuse_in_one_line(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backtime("train", data, "--task", "tag", "--max-steps", 2, "--out", "run", *SMALL)
    Path("new.conll").write_text("a B-strange\n")
    backtime("evaluate", "run", "new.conll", status=2)
    assert "new.conll line 1: the tag 'B-strange' was not in training" in capsys.readouterr().err
    Path("empty.txt").write_text("a\n\n")
    backtime("predict", "run", "empty.txt", status=2)
    assert "empty.txt line 2 is empty; expected the words of a sentence" in capsys.readouterr().err
    Path("nothing.conll").write_text("")
    backtime("evaluate", "run", "nothing.conll", status=2)
    assert "nothing.conll has no sentences" in capsys.readouterr().err


def test_what_makes_the_data_the_same(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backtime("train", data, "--task", "tag", "--max-steps", 2, "--out", "run", *SMALL)
    data.write_text(sentences(1).replace("Ann", "Eve"))
    backtime("train", "--resume", "run", "--max-steps", 4, status=2)
    assert "has changed since run began" in capsys.readouterr().err
    data.write_text(sentences(1).replace("B-name", "B-else"))
    backtime("train", "--resume", "run", "--max-steps", 4, status=2)
    assert "has changed since run began" in capsys.readouterr().err


def test_entities_are_whole_or_wrong() -> None:
    right = [["B-a", "I-a", "O", "B-b"]]
    assert scores.entity_scores(right, right) == {"precision": 1, "recall": 1, "f1": 1}
    cut = [["B-a", "O", "O", "B-b"]]  # one of two found, one of two right
    assert scores.entity_scores(right, cut) == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert scores.entity_scores(right, [["O"] * 4])["f1"] == 0


def test_without_the_libraries_it_says_what_to_install(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "seqeval.metrics", None)
    backtime("train", data, "--task", "tag", status=2)
    assert "scores need seqeval: pip install 'backtime[metrics]'" in capsys.readouterr().err


def test_data_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    backtime("train", "--task", "tag", status=2)
    assert f"--task tag needs DATA: {TagKind.data}" in capsys.readouterr().err
    assert TagSettings().label == "lstm"
