"""Comparing texts: what is refused, in one line, and what is told."""

from pathlib import Path
from typing import Any

import pytest

from backtime import tasks
from backtime.data.scored_pairs import PairReading
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.runtime import similarity as runtime
from backtime.tasks.similar.kind import SimilarKind
from shell import backtime, refusal
from similar_texts import SMALL, network, write_shared

pytestmark = pytest.mark.usefixtures("quick_runs")
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
