"""Comparing texts: what is learned, resume, the runtime beside the network, ranking."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backtime import tasks
from backtime.data.similar import ordered
from backtime.models.file import read_model
from backtime.models.saving import load_model
from backtime.runtime import similarity as runtime
from backtime.tasks.shared import scores
from shell import answers, backtime, refusal
from similar_texts import OTHERS, SIGNS, SMALL, write_pairs, write_shared

pytestmark = pytest.mark.usefixtures("quick_runs")


# From the shell.


@pytest.mark.parametrize(
    "options",
    [[], pytest.param(["--pooling", "attention", "--bidirectional"], marks=pytest.mark.slow),
     pytest.param(["--level", "char"], marks=pytest.mark.slow)],
)  # fmt: skip
def test_pairs_are_learned_and_ranked(options: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    write_pairs("some.tsv", 1)
    write_pairs("other.tsv", 2, 40)
    backtime("train", "some.tsv", *SMALL, "--epochs", 12, "--out", "run", *options)
    out, error = capsys.readouterr()
    assert "recall_1" in out and "pairs, 2" in error and "predict backtime predict run" in out
    backtime("evaluate", "run", "other.tsv", "--json")
    [found] = answers(capsys)
    assert found["recall_1"] > 0.4 and found["recall_10"] > 0.9  # guessing has 1/70 and 1/7
    assert found["recall_1"] <= found["recall_5"] <= found["recall_10"]
    lines = Path("other.tsv").read_text().splitlines()
    assert found["pairs"] == len(lines) and found["texts"] == 2 * len(lines)


def test_predict_and_rank_from_the_shell_and_from_python(capsys: pytest.CaptureFixture[str]) -> None:
    write_pairs("some.tsv", 1)
    backtime("train", "some.tsv", *SMALL, "--epochs", 12, "--out", "run", "--quiet")
    Path("texts.txt").write_text("uno due\nsei cinque tre\nquattro\nsei cinque tre\tand more\n")
    capsys.readouterr()
    backtime("predict", "run", "texts.txt", "--query", "six five three")
    rows = answers(capsys)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4] and [row["line"] for row in rows[:2]] == [2, 4]
    assert rows[0]["text"] == "sei cinque tre" and rows[0]["cosine"] == rows[1]["cosine"] > rows[2]["cosine"]
    backtime("predict", "run", "texts.txt", "--query", "six five three", "--top", 2, "--format", "csv")
    table = capsys.readouterr().out.splitlines()
    assert table[0] == "rank,line,cosine,text" and len(table) == 3 and table[1].startswith("1,2,")
    predictor: Any = tasks.load("run")
    texts = [row.split("\t")[0] for row in Path("texts.txt").read_text().splitlines()]
    assert list(predictor.rank_texts(texts, "six five three")) == rows
    Path("new.tsv").write_text("one two\tuno due\nsix five\ttre\tanything\n".replace("\tanything", ""))
    backtime("predict", "run", "new.tsv")
    found = answers(capsys)
    assert found == list(predictor.predict([("one two", "uno due"), ("six five", "tre")]))
    assert found[0]["cosine"] > found[1]["cosine"] and list(found[0]) == [
        "record",
        "first",
        "second",
        "cosine",
    ]
    u, v = predictor.vectors(["one two", "uno due"])
    assert found[0]["cosine"] == pytest.approx(float(u @ v), abs=1e-12)


@pytest.mark.parametrize("value", ["score", "label", pytest.param("0 and 1", marks=pytest.mark.slow)])
def test_scores_and_labels_are_learned_and_used(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_shared("some.tsv", 1, value, 160)
    write_shared("other.tsv", 2, value, 80)
    backtime("train", "some.tsv", *SMALL, "--epochs", 10, "--validation-fraction", 0, "--out", "run")
    name = "spearman" if value == "score" else "accuracy"
    backtime("evaluate", "run", "other.tsv", "--json")
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found[name] > 0.8 and found["pairs"] == 80 and found["loss"] < 0.3  # guessing: 0, 0.5
    backtime("predict", "run", "other.tsv")
    rows = answers(capsys)
    values = [line.split("\t")[2] for line in Path("other.tsv").read_text().splitlines()]
    if value == "score":
        order = scores.spearman([float(own) for own in values], [row["score"] for row in rows])
        assert order == pytest.approx(found[name], abs=1e-3)  # equal texts differ by rounding, in training
        assert rows[0]["score"] == pytest.approx(5 * rows[0]["cosine"])
    else:
        named = [{"1": "same", "0": "different"}.get(own, own) for own in values]
        assert np.mean([row["label"] == own for row, own in zip(rows, named, strict=True)]) == found[name]
        assert all((row["label"] == "same") == (row["probability"] > 0.5) for row in rows)


def test_a_model_of_pairs_is_measured_by_scores(capsys: pytest.CaptureFixture[str]) -> None:
    write_pairs("some.tsv", 1)
    write_shared("other.tsv", 2, "score", 60)
    backtime("train", "some.tsv", *SMALL, "--max-steps", 3, "--out", "run", "--quiet")
    backtime("evaluate", "run", "other.tsv", "--third-column", "score", "--json")
    [found] = answers(capsys)
    assert set(found) == {"spearman", "pairs", "texts"} and -1 <= found["spearman"] <= 1
    backtime("evaluate", "run", "other.tsv", "--json")
    assert "recall_1" in answers(capsys)[0]
    error = refusal(capsys, "evaluate", "run", "other.tsv", "--third-column", "label")
    assert "the model has learned from pairs, not labels" in error


@pytest.mark.parametrize("target", ["pairs", "score", "label"])
@pytest.mark.parametrize(
    "options",
    [["--pooling", "last"], ["--pooling", "last", "--bidirectional"], ["--pooling", "mean"],
     ["--pooling", "attention", "--cell", "gru", "--layers", 2], ["--pooling", "max", "--cell", "rnn"]],
)  # fmt: skip
def test_the_runtime_says_what_the_network_says(target: str, options: list[Any]) -> None:
    write_shared("some.tsv", 1, target if target != "pairs" else "score", 40)
    column = "ignore" if target == "pairs" else "auto"
    words = [*SMALL, "--third-column", column, "--max-steps", 2, "--out", "run", "--quiet"]
    backtime("train", "some.tsv", *words, *options)
    own, _ = load_model("run")
    predictor: Any = tasks.load("run")
    texts = ["one", "two three four one", "never seen", "six five"]
    found = predictor.vectors(texts)
    numbers = [np.array(predictor.symbols.numbers(text.split()), np.int64) for text in texts]
    packed, places = ordered(numbers)
    with torch.no_grad():
        rows, sizes = torch.from_numpy(packed.rows), torch.from_numpy(packed.batch_sizes)
        expected = own.eval().vectors(rows, sizes)[places]
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-6)
    np.testing.assert_array_equal(predictor.vectors(texts[1:2])[0], found[1])  # whatever is beside it
    (row,) = predictor.predict([texts[:2]])
    if target == "label":
        z = own.decision(torch.tensor([row["cosine"]])).sigmoid().item()
        assert row["probability"] == pytest.approx(z, abs=1e-5)


def state_of(run: str) -> dict[str, torch.Tensor]:
    return load_file(Path(run, "last/state.safetensors"))


@pytest.mark.parametrize("value", ["pairs", "label"])
def test_resume_is_exact(value: str) -> None:
    if value == "pairs":
        write_pairs("some.tsv", 1, 120)
    else:
        write_shared("some.tsv", 1, value, 90)
    words = ["train", "some.tsv", *SMALL, "--dropout", 0.2, "--word-dropout", 0.3, "--quiet"]
    words += ["--validation-fraction", 0.1 if value == "pairs" else 0]
    backtime(*words, "--out", "whole", "--max-steps", 20)
    backtime(*words, "--out", "parts", "--max-steps", 3)
    for stop in (6, 7, 20):
        backtime("train", "--resume", "parts", "--quiet", "--max-steps", stop)
    one, other = state_of("whole"), state_of("parts")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_resume_needs_the_same_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    write_pairs("some.tsv", 1, 60)
    backtime("train", "some.tsv", *SMALL, "--max-steps", 2, "--out", "run", "--quiet")
    write_pairs("some.tsv", 5, 60)
    assert "some.tsv has changed since run began" in refusal(capsys, "train", "--resume", "run")


def test_init_from(capsys: pytest.CaptureFixture[str]) -> None:
    write_pairs("some.tsv", 1, 60)
    backtime("train", "some.tsv", *SMALL, "--max-steps", 2, "--out", "first", "--quiet")
    words = ["train", "some.tsv", "--task", "similar", "--init-from", "first", "--max-steps", 2]
    backtime(*words, "--lr", 1e-12, "--out", "second", "--quiet")
    old, new = read_model("first").tensors, read_model("second").tensors
    assert all(abs(old[name] - new[name]).max() < 1e-9 for name in old)
    error = refusal(capsys, *words, "--pooling", "last")
    assert "--pooling last conflicts with mean of --init-from first" in error


def test_flow_looks_at_it(capsys: pytest.CaptureFixture[str]) -> None:
    write_pairs("some.tsv", 1, 60)
    backtime("train", "some.tsv", *SMALL, "--max-steps", 2, "--out", "run", "--quiet")
    backtime("flow", "run", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["loss"] > 0 and found["sequences"] == 64  # 32 pairs: both of their texts
    backtime("flow", "run", "--units", 2, "--json")
    assert len(json.loads(capsys.readouterr().out)["decisions"]) == 4  # two pairs, by each of their texts


def test_predicts_as_it_comes_and_without_torch() -> None:
    write_pairs("some.tsv", 1, 40)
    backtime("train", "some.tsv", *SMALL, "--max-steps", 2, "--out", "run", "--quiet")
    Path("texts.txt").write_text("uno\ndue\n")
    code = "import sys; sys.modules['torch'] = None\nfrom backtime.cli.main import main\nsys.exit(main())"
    command = [sys.executable, "-c", code, "predict", "run"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin and process.stdout
        for number in (1, 2):
            process.stdin.write("one two\tuno due\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["record"] == number
        process.stdin.close()
    assert process.returncode == 0
    ranked = subprocess.run([*command, "texts.txt", "--query", "one"], stdout=-1, text=True, check=True)
    assert len(ranked.stdout.splitlines()) == 2


def test_a_file_is_ranked_without_being_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --top the texts that are beaten are let go, a group of lines at a time."""
    write_pairs("some.tsv", 1, 40)
    backtime("train", "some.tsv", *SMALL, "--max-steps", 2, "--out", "run", "--quiet")
    predictor: Any = tasks.load("run")
    alive: set[int] = set()
    most = 0

    class Line(str):
        def __new__(cls, content: str, number: int) -> "Line":
            alive.add(number)
            made = super().__new__(cls, content)
            made.number = number
            return made

        def __del__(self) -> None:
            alive.discard(self.number)

    def lines() -> Any:
        nonlocal most
        for n in range(2000):
            yield Line(f"{SIGNS[n % 6]} {OTHERS[n // 6 % 6]}", n)
            most = max(most, len(alive))

    rows = list(predictor.rank_texts(lines(), "one", 5))
    assert len(rows) == 5 and 64 <= most < 3 * runtime.AT_ONCE
    cosines = [row["cosine"] for row in rows]
    assert cosines == sorted(cosines, reverse=True)


def test_texts_from_standard_input_are_ranked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs("some.tsv", 1, 40)
    backtime("train", "some.tsv", *SMALL, "--max-steps", 2, "--out", "run", "--quiet")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"uno\ndue\n")))
    capsys.readouterr()
    backtime("predict", "run", "--query", "one", "--top", 1)
    [row] = answers(capsys)
    assert row["rank"] == 1 and row["text"] in ("uno", "due")


def test_the_benchmark_parts_sentences_and_finds_equal_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    from benchmarks import similar_sentences as benchmark

    rows = [(f"{verb} {n} now", f"{n} fr", "by x") for n in SIGNS for verb in ("take", "grab")]
    Path("fra.txt").write_text("".join("\t".join(row) + "\n" for row in [*rows, ("alone", "seul", "by y")]))
    pairs = benchmark.paraphrases(list(benchmark.sentences(Path("fra.txt"))))
    assert [own[:2] for own in pairs] == sorted((f"grab {n} now", f"take {n} now") for n in SIGNS)
    monkeypatch.setattr(benchmark, "TEST", 0.5)
    benchmark.prepare(Path("fra.txt"), Path())
    texts = [{*Path(name).read_text().replace("\t", "\n").split("\n")} for name in ("train.tsv", "test.tsv")]
    assert texts[0] & texts[1] == {""} and len(texts[0]) == len(texts[1]) == 7
    assert benchmark.bag_of_words(Path(), benchmark.TOKENS["all words and signs"])["recall_1"] == 1
