"""Comparing texts: the losses by their definition, what is learned, the runtime, ranking, what is refused."""

import io
import json
import math
import os
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
from backtime.cli.main import main
from backtime.data.pair_parts import draw_held_out
from backtime.data.scored_pairs import PairReading, ScoredPair, reading_of, target_of
from backtime.data.similar import Related, ordered
from backtime.errors import UsageError
from backtime.models.file import ModelFile, read_model
from backtime.models.saving import load_model
from backtime.models.similarity import Similarity, SimilarityConfig, in_batch_loss
from backtime.runtime import similarity as runtime
from backtime.tasks import runs
from backtime.tasks.shared import scores
from backtime.tasks.similar import retrieval
from backtime.tasks.similar.kind import SimilarKind
from backtime.tasks.similar.measuring import measure
from backtime.tasks.similar.retrieval import ranks, recall

SMALL = ["--task", "similar", "--hidden-size", 12, "--embedding-size", 12, "--batch-size", 16]
SMALL += ["--dropout", 0, "--word-dropout", 0, "--lr", 0.01, "--log-every", 5]
SIGNS = ["one", "two", "three", "four", "five", "six"]
SEED_17 = 1  # with which batches of 16 of 17 pairs begin with the smaller one
OTHERS = ["uno", "due", "tre", "quattro", "cinque", "sei"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(runs, "draw_curves", lambda *parts: None)


def said(seed: int, number: int = 300) -> list[tuple[list[str], list[str]]]:
    """Three numbers in two languages: no word of the one is a word of the other."""
    draw = random.Random(seed)
    found = [[draw.randrange(6) for _ in range(draw.randint(2, 4))] for _ in range(number)]
    return [([SIGNS[n] for n in own], [OTHERS[n] for n in own]) for own in found]


def write_pairs(name: str, seed: int, number: int = 300) -> None:
    rows = dict.fromkeys(f"{' '.join(one)}\t{' '.join(other)}" for one, other in said(seed, number))
    Path(name).write_text("\n".join(rows) + "\n")


def write_shared(name: str, seed: int, value: str, number: int = 300) -> None:
    """Two texts, and how many words they share: as a score of 0 to 5, or as a label, all or nothing."""
    draw, rows = random.Random(seed), []
    for _ in range(number):
        one = draw.sample(SIGNS[:3], 2) if draw.random() < 0.5 else draw.sample(SIGNS[3:], 2)
        other = draw.sample(SIGNS[:3], 2) if draw.random() < 0.5 else draw.sample(SIGNS[3:], 2)
        alike = (one[0] in SIGNS[:3]) == (other[0] in SIGNS[:3])
        if value == "score":
            shown = f"{5 * len({*one} & {*other}) / 2:g}"
        else:
            shown = ("same" if alike else "different") if value == "label" else str(int(alike))
        rows.append(f"{' '.join(one)}\t{' '.join(other)}\t{shown}")
    Path(name).write_text("\n".join(rows) + "\n")


def backtime(*words: Any, status: int = 0) -> None:
    assert main([str(word) for word in words]) == status


def answers(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def refusal(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    capsys.readouterr()
    backtime(*words, status=2)
    error = capsys.readouterr().err
    assert error.startswith("backtime: ") and error.count("\n") == 1
    return error


def network(target: str = "pairs", **options: Any) -> Similarity:
    torch.manual_seed(1)
    config = {"cell": "gru", "hidden_size": 5, "symbols": 9, "embedding_size": 3, "target": target}
    return Similarity(SimilarityConfig(**{**config, **options}))


# The losses, by the equations of models/similarity.py, in loops.


def pairs_loss(c: Any, tau: float, left_out: set[tuple[int, int]]) -> float:
    N, total = len(c), 0.0
    for i in range(N):
        row = [math.exp(c[i, j] / tau) for j in range(N) if j == i or (i, j) not in left_out]
        column = [math.exp(c[j, i] / tau) for j in range(N) if j == i or (j, i) not in left_out]
        total -= math.log(math.exp(c[i, i] / tau) / sum(row))
        total -= math.log(math.exp(c[i, i] / tau) / sum(column))
    return total / (2 * N)


def unit_vectors(seed: int, number: int = 4) -> torch.Tensor:
    drawn = torch.randn(number, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn / drawn.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("left_out", [set(), {(0, 2), (3, 1)}])
def test_the_loss_of_pairs_is_that_of_the_definition(left_out: set[tuple[int, int]]) -> None:
    u, v = unit_vectors(1), unit_vectors(2)
    related = torch.zeros(4, 4, dtype=torch.bool)
    for place in left_out:
        related[place] = True
    related[1, 1] = True  # a pair itself is never left out
    found = network(temperature=0.2).loss(u, v, torch.ones(4), related)
    assert found.item() == pytest.approx(pairs_loss((u @ v.T).numpy(), 0.2, left_out), rel=1e-9)


def test_the_losses_of_scores_and_labels_are_those_of_the_definition() -> None:
    u, v, none = unit_vectors(1), unit_vectors(2), torch.zeros(4, 4, dtype=torch.bool)
    c, s = (u * v).sum(1).numpy(), np.array([0.1, 0.9, 0.5, 0])
    assert network("score").loss(u, v, torch.from_numpy(s), none).item() == pytest.approx(
        ((c - s) ** 2).mean()
    )
    y, own = np.array([1.0, 0, 0, 1]), network("label", temperature=0.1)
    p = 1 / (1 + np.exp(-10 * (c - 0.5)))
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert own.loss(u, v, torch.from_numpy(y), none).item() == pytest.approx(expected, rel=1e-6)


def test_a_batch_of_one_pair_does_not_say_what_is_a_large_loss() -> None:
    """17 pairs in batches of 16: the first step here is that of the one that is left, which costs nothing."""
    Path("some.tsv").write_text("".join(f"one {n}\tuno {n}\n" for n in range(17)))
    words = [*SMALL, "--validation-fraction", 0, "--lr", 1e-3, "--max-steps", 2, "--seed", SEED_17]
    backtime("train", "some.tsv", *words, "--log-every", 1, "--out", "run", "--quiet")
    run = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in run][:2] == [1, 2]
    assert run[0]["loss"] == 0 and run[1]["loss"] > 1


def test_one_pair_alone_has_nothing_to_be_told_from() -> None:
    z = torch.zeros(1, 1, requires_grad=True)
    loss = in_batch_loss(z, torch.ones(1, 1, dtype=torch.bool))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0 and z.grad is not None and z.grad.item() == 0


def test_what_belongs_together_is_known() -> None:
    related = Related(np.array([0, 1]), np.array([2, 3]), 5)
    found = related(np.arange(5), np.arange(5))
    assert {tuple(place) for place in np.argwhere(found).tolist()} == {(0, 2), (2, 0), (1, 3), (3, 1)}
    nothing = Related(np.zeros(0, np.int64), np.zeros(0, np.int64), 3)
    assert not nothing(np.arange(3), np.arange(3)).any()


def test_recall_is_that_of_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text 0 belongs to 1 and 2, 3 to 4; 5 to nobody. Whoever is as near counts as nearer."""
    likeness = np.array([
        [9, 2, 3, 5, 1, 0],  # 0: the nearest of 1 and 2 comes after 3
        [2, 9, 0, 1, 1, 0],  # 1: 0 is the nearest
        [3, 0, 9, 3, 3, 3],  # 2: 0, 3, 4 and 5 are equally near
        [5, 1, 3, 9, 8, 0],
        [1, 1, 3, 8, 9, 8],  # 4: 3 and 5 are equally near
        [0, 0, 3, 0, 8, 9],
    ])  # fmt: skip
    related = Related(np.array([0, 0, 3]), np.array([1, 2, 4]), 6)
    found = ranks(lambda some: likeness[some], related)
    assert found.tolist() == [2, 1, 4, 1, 2]
    monkeypatch.setattr(retrieval, "AT_ONCE", 12)  # two texts at once
    assert ranks(lambda some: likeness[some], related).tolist() == [2, 1, 4, 1, 2]
    assert recall(found) == {"recall_1": 0.4, "recall_5": 1.0, "recall_10": 1.0}
    assert recall(np.zeros(0, np.int64), (1,)) == {"recall_1": 0.0}


def test_a_constant_vector_finds_nothing() -> None:
    related = Related(np.array([0, 2]), np.array([1, 3]), 4)
    assert recall(ranks(lambda some: np.ones((len(some), 4)), related), (1,)) == {"recall_1": 0}


def test_spearman() -> None:
    assert scores.spearman([1, 2, 3, 4], [0.1, 0.5, 0.4, 0.9]) == pytest.approx(0.8)
    assert scores.spearman([1, 2], [3, 3]) == 0


def pair(first: str, second: str, value: str = "") -> ScoredPair:
    return ScoredPair(first, second, value, "x")


def test_scores_stand_for_cosines() -> None:
    inside = [pair("a", "b", "0.2"), pair("c", "d", "-1")]
    assert reading_of(inside, "word", "score") == PairReading("word", "score")
    assert [PairReading("word", "score").cosine(own) for own in inside] == [0.2, -1]
    beyond = [pair("a", "b", value) for value in ("1", "4", "5")]
    reading = reading_of(beyond, "char", "score")
    assert reading == PairReading("char", "score", 1, 5)
    assert [reading.cosine(own) for own in beyond] == [0, 0.75, 1] and reading.score(0.75) == 4
    assert [PairReading("word", "label").cosine(pair("a", "b", v)) for v in ("Same", "0")] == [1, 0]


@pytest.mark.parametrize(
    ("values", "column", "target"),
    [(["", ""], "auto", "pairs"), (["1", "same"], "auto", "label"), (["1", "0.5"], "auto", "score"),
     (["1", "0"], "score", "score"), (["who", "when"], "ignore", "pairs")],
)  # fmt: skip
def test_the_third_column_says_what_is_learned(values: list[str], column: str, target: str) -> None:
    assert target_of([pair("a", "b", value) for value in values], column) == target


def test_no_text_is_in_two_parts() -> None:
    draw = random.Random(3)
    pairs = [pair(f"t{draw.randrange(250)}", f"t{draw.randrange(250)}") for _ in range(100)]
    aside = draw_held_out(pairs, 0.2, 1)
    parts = [{t for own, out in zip(pairs, aside, strict=True) if bool(out) == side for t in own[:2]}
             for side in (True, False)]  # fmt: skip
    assert 10 < aside.sum() <= 20 and parts[0] and not parts[0] & parts[1]
    order = random.Random(4).sample(range(100), 100)
    again = draw_held_out([pairs[n] for n in order], 0.2, 1)
    assert (again == aside[order]).all()  # whatever the order of the lines
    assert (draw_held_out(pairs, 0.2, 2) != aside).any()
    assert not draw_held_out([pair("a", "b"), pair("b", "c"), pair("c", "d")], 0.4, 1).any()
    assert draw_held_out([pair("a", "b")], 0.9, 1).tolist() == [False]


def test_sequences_in_any_order_are_packed_and_found_again() -> None:
    records = [np.array(own, np.int64) for own in ([1], [2, 3, 4], [5, 6], [7])]
    own = network().eval()
    packed, places = ordered(records)
    together = own.vectors(torch.from_numpy(packed.rows), torch.from_numpy(packed.batch_sizes))[places]
    for n, record in enumerate(records):
        alone = own.vectors(torch.from_numpy(record), torch.ones(len(record), dtype=torch.int64))
        torch.testing.assert_close(together[n], alone[0], rtol=0, atol=1e-6)
        assert together[n].norm().item() == pytest.approx(1, abs=1e-6)


def test_the_loss_of_a_batch_leaves_out_what_is_known_to_belong(tmp_path: Path) -> None:
    """'one' stands with 'uno' and with 'eins': neither is wrong for it. 'due' stands on both sides."""
    rows = [("one", "uno"), ("one", "eins"), ("two", "due"), ("due", "zwei"), ("three", "tre")]
    Path("a.tsv").write_text("".join(f"{one}\t{other}\n" for one, other in rows))
    settings = SimilarKind.settings(
        hidden_size=5, embedding_size=4, validation_fraction=0, word_dropout=0, batch_size=8, temperature=0.3
    )
    kind = SimilarKind()
    data = kind.prepare(Path("a.tsv"), settings, tmp_path, None, print)
    torch.manual_seed(3)
    task = kind.build(data, settings, None)
    task.model.eval()
    loss, _, count = task.loss(0, 0, None)
    task.save_model(tmp_path / "model")
    model: Any = tasks.load(tmp_path / "model")
    u, v = (model.vectors(side) for side in zip(*rows, strict=True))
    left_out = {(0, 1), (1, 0), (3, 2), (2, 2)}
    assert count == 5 and loss.item() == pytest.approx(pairs_loss(u @ v.T, 0.3, left_out), rel=1e-5)
    assert loss.item() != pytest.approx(pairs_loss(u @ v.T, 0.3, set()), rel=1e-3)


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
    assert "--units is for texts, tags and labels" in refusal(capsys, "flow", "run", "--units", 2, "--quiet")


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


REFUSED = [
    ("a b\n", [], "a.tsv line 1 is 'a b'; expected two texts and, if they are more or less alike, a score"),
    ("a\tb\n\tc\n", [], "a.tsv line 2 is '\\tc'; expected two texts"),
    ("", [], "a.tsv has no pairs in it; expected two texts"),
    ("a\tb\t1\nc\td\n", [], "a.tsv line 2 has 2 columns; expected 3, as in the first line"),
    ('a\tb\t1\n"c\nd"\te\t0\n', [], "a.tsv line 2 is '\"c'; expected two texts"),
    ("a\tb\t0.5\nc\td\tsoon\n", [], "a.tsv line 2 column 3 is 'soon'; expected a number, or same, different"),
    ("a\tb\t0.5\nc\td\tnan\n", [], "a.tsv line 2 column 3 is nan; expected a finite number"),
    ("a\tb\t0.5\nc\td\t1e999\n", [], "a.tsv line 2 column 3 is 1e999; expected a finite number"),
    ("a\tb\t0.5\nc\td\t \n", [], "a.tsv line 2 has nothing in its third column; expected a score or a label"),
    ("a\tb\tsame\nc\td\tsame\n", [], "all pairs have the label 'same'; expected two and more"),
    ("a\tb\t3\nc\td\t3\n", [], "all pairs have the score '3'; expected two and more"),
    ("a\tb\t0.5\nc\td\t1\n", ["--third-column", "label"],
     "a.tsv line 1 column 3 is '0.5'; expected one of same, different, 1, 0"),
    ("a\tb\nc\td\n", ["--third-column", "score"],
     "a.tsv line 1 has two columns; expected three: --third-column is score"),
    ("a\tb\n", [], "a.tsv has one pair to train on; expected two and more without a score or label"),
    ("a\tb\nc\td\n", ["--batch-size", 1], "--batch-size is 1; pairs without a score learn from the others"),
    ("a\tb\nc\td\n", ["--temperature", 0], "--temperature is 0.0; expected a number above 0"),
    ("a\tb\nc\td\n", ["--valid-file", "none.tsv"], "none.tsv has no pairs in it"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "options", "reason"), REFUSED)
def test_bad_input_is_one_line_and_leaves_nothing(
    content: str, options: list[Any], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("none.tsv").touch()
    Path("a.tsv").write_text(content)
    words = ["--task", "similar", "--validation-fraction", 0, *options]
    assert reason in refusal(capsys, "train", "a.tsv", *words)
    assert not Path("runs").exists()


def test_bytes_that_are_no_text_and_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.tsv").write_bytes("a\tb\né\tc\n".encode("latin-1"))
    assert "a.tsv line 2 is not UTF-8: byte 0xe9" in refusal(capsys, "train", "a.tsv", "--task", "similar")
    error = refusal(capsys, "train", "--task", "similar")
    assert f"--task similar needs DATA: {SimilarKind.data}" in error


def test_use_refuses_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_shared("some.tsv", 1, "label", 60)
    words = [*SMALL, "--validation-fraction", 0, "--max-steps", 2, "--quiet"]
    backtime("train", "some.tsv", *words, "--out", "run")
    Path("new.tsv").write_text("one\ttwo\tsame\none\ttwo\tperhaps\n")
    for verb in ("evaluate", "predict"):
        assert "new.tsv line 2 column 3 is 'perhaps'; expected one of" in refusal(
            capsys, verb, "run", "new.tsv"
        )
    Path("gap.txt").write_text("one\n\ntwo\n")
    error = refusal(capsys, "predict", "run", "gap.txt", "--query", "one")
    assert "gap.txt line 2 is empty; expected a text to compare" in error
    for query, line in (
        (["--query", " "], "--query is empty; expected a text"),
        (["--top", 3], "--top 3 without --query; expected a text to rank by"),
        (["--query", "one", "--top", 0], "--top is 0; expected a number from 1"),
        (["--query", "one", "--picture", "a.svg"], "--picture is given with --query; expected one of them"),
    ):
        assert line in refusal(capsys, "predict", "run", "gap.txt", *query)
    Path("two.tsv").write_text("one\ttwo\n")
    error = refusal(capsys, "evaluate", "run", "two.tsv")
    assert "two.tsv line 1 has two columns; expected three: --third-column is label" in error
    with pytest.raises(UsageError, match=r"record 1 is 'one'; expected two texts"):
        list(tasks.load("run").predict(["one"]))


def test_a_model_of_another_task_ranks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.txt").write_text("to be or not to be\n" * 20)
    words = ["--hidden-size", 4, "--layers", 1, "--seq-length", 5, "--batch-size", 2, "--max-steps", 1]
    backtime("train", "text.txt", *words, "--quiet", "--out", "run")
    error = refusal(capsys, "predict", "run", "text.txt", "--query", "to be")
    assert "--query: the model compares no texts" in error
    other: Any = ModelFile("language", None, {}, {})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the task 'language'; expected one that compares texts"):
        runtime.Similarity(other)


def test_pairs_that_hang_together_are_not_parted(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.tsv").write_text("".join(f"one\ttwo {n}\t{n % 2}\n" for n in range(20)))
    backtime("train", "a.tsv", *SMALL, "--max-steps", 1, "--out", "run")
    out, error = capsys.readouterr()
    assert "the pairs hang together by their texts; --valid-file names others" in error
    assert "step 1, without validation" in out
    backtime("train", "a.tsv", *SMALL, "--max-steps", 1, "--out", "other", "--valid-file", "a.tsv")
    assert "accuracy" in capsys.readouterr().out


def test_the_progress_shows_what_the_file_decided(capsys: pytest.CaptureFixture[str]) -> None:
    write_shared("a.tsv", 1, "score", 30)
    backtime("train", "a.tsv", *SMALL, "--valid-file", "a.tsv", "--epochs", 1, "--out", "run")
    assert "val spearman" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reading": {**PairReading().to_json(), "target": "score"}}, "has the target score; expected pairs"),
        ({"reading": {**PairReading().to_json(), "level": "line"}}, "level is 'line'; expected word, char"),
        ({"reading": {**PairReading().to_json(), "highest": 0}}, "scores from 0.0 to 0; expected a finite"),
        ({"reading": {}}, "reading: it lacks level"),
        ({"symbols": {"kind": "symbol", "symbols": ["<unk>"], "open": True}}, "symbols has 1 symbols"),
    ],
)
def test_an_encoding_that_does_not_fit(change: dict[str, Any], message: str) -> None:
    symbols = {"kind": "symbol", "symbols": ["<unk>", *"abcdefgh"], "open": True}
    config: Any = network().config
    right = {"symbols": symbols, "reading": PairReading().to_json()}
    config.check_encoding(right)
    with pytest.raises(UsageError, match=message):
        config.check_encoding(right | change)


def test_a_config_that_does_not_fit() -> None:
    for change, message in (
        ({"target": "rank"}, "target is 'rank'; expected one of pairs, score, label"),
        ({"temperature": 0}, "temperature is 0; expected more than 0"),
        ({"symbols": 0, "embedding_size": 0, "channels": 3}, "channels is 3; expected symbols"),
    ):
        with pytest.raises(UsageError, match=message):
            network(**change)  # type: ignore[arg-type]


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


def test_measuring_does_not_depend_on_the_order_of_the_texts() -> None:
    from backtime.data.scored_pairs import read_scored
    from backtime.data.similar import NumberedPairs, count_symbols

    write_pairs("some.tsv", 1, 60)
    pairs = list(read_scored(Path("some.tsv")))
    symbols, reading = count_symbols(pairs, "word", 1), PairReading()
    own = network(symbols=len(symbols))
    found = [
        measure(own, NumberedPairs.of(part, symbols, reading), "pairs", 100) for part in (pairs, pairs[::-1])
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)


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
