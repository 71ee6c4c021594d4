"""Texts of words: prepared corpora keep their tokens, and perplexity is that of published word models."""

import itertools
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtime.cli.main import main
from backtime.data.text.counting import WordCounts, count_vocabulary
from backtime.data.text.symbols import Special
from backtime.data.text.token_file import TokenFile
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import DataWarning, UsageError
from backtime.tasks import load
from backtime.tasks.evaluation import evaluate

SHARED = Path(__file__).parents[2] / "shared/data/wikitext2"
SMALL = ["--hidden-size", "8", "--layers", "1", "--batch-size", "2", "--seq-length", "5", "--quiet"]
# as scripts for Penn Treebank and WikiText leave it: rare words are <unk>, a line is a sentence or a title
PREPARED = " = A title = \n the cat sat on the <unk> mat . \n\n the <unk> dog sat . \n"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(PREPARED * 20)


def train(*options: Any, status: int = 0) -> None:
    words = ["train", "text.txt", "--level", "word", "--out", "run", "--max-steps", "2", *SMALL]
    assert main([*words, *(str(option) for option in options)]) == status


def tokens_of(text: str, end: str = "<eos>") -> list[str]:
    """The tokens as scripts for published word models make them: line by line."""
    return [word for line in text.splitlines() for word in [*line.split(), end]]


def test_a_prepared_corpus_keeps_its_tokens() -> None:
    train()
    tokens = TokenFile("run")
    expected = tokens_of(PREPARED * 20)
    symbols = tokens.vocabulary.symbols
    assert [symbols[n] for n in tokens[:]] == expected
    assert set(symbols) == set(expected)
    assert tokens.count(symbols.index("<unk>")) == Counter(expected)["<unk>"]


def test_a_text_may_name_its_own_special_words(capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.txt").write_text(PREPARED.replace("<unk>", "UNK") * 20)
    train("--unk-token", "UNK", "--eos-token", "EOS")
    tokens = TokenFile("run")
    symbols = tokens.vocabulary.symbols
    assert symbols[:2] == ["UNK", "EOS"]
    assert [symbols[n] for n in tokens[:]] == tokens_of(PREPARED.replace("<unk>", "UNK") * 20, "EOS")
    Path("new.txt").write_text("the bird sat\n")
    with pytest.warns(DataWarning, match="25% of the words of new.txt .* count as UNK"):
        assert evaluate(Path("run"), Path("new.txt"))["unknown"] == 1 / 4
    model = load("run")
    [row] = model.predict(["the bird sat"])
    assert row["unknown"] == 1
    text = "".join(model.sample(length=60))  # type: ignore[attr-defined]
    assert "EOS" not in text and "\n" in text
    capsys.readouterr()
    train("--init-from", "run", "--eos-token", "END", "--out", "other", status=2)
    assert "--eos-token END conflicts with EOS" in capsys.readouterr().err
    train("--init-from", "run", "--out", "other")


def test_a_resume_and_a_preset_keep_every_word() -> None:
    words = " ".join(f"word{n}" for n in range(12_000))  # more than the 10,000 that earlier versions kept
    Path("text.txt").write_text(f"{words}\n{words}\n")
    files = ["--train-file", "text.txt", "--valid-file", "text.txt", "--preset", "zaremba-small"]
    small = ["--hidden-size", "2", "--embedding-size", "2", "--out", "run", "--quiet"]
    assert main(["train", *files, *small, "--max-steps", "1", "--epochs", "1"]) == 0
    assert len(TokenFile("run").vocabulary) == 12_002
    assert main(["train", "--resume", "run", "--max-steps", "2", "--quiet"]) == 0
    assert len(TokenFile("run").vocabulary) == 12_002


def test_the_perplexity_is_that_of_all_tokens_but_the_first() -> None:
    """By hand, from the logits of the runtime: exp of the mean of -log p, ends of lines included."""
    train()
    Path("new.txt").write_text("the cat sat\nthe dog\n")
    found = evaluate(Path("run"), Path("new.txt"))
    model = load("run")
    numbers = model.vocabulary.encode("the cat sat\nthe dog\n").tolist()  # type: ignore[attr-defined]
    assert len(numbers) == 7
    stream, total = model.stream(), 0.0  # type: ignore[attr-defined]
    for token, target in itertools.pairwise(numbers):
        z = stream.step(token).astype(np.float64)
        total += math.log(np.exp(z).sum()) - z[target]
    assert found["perplexity"] == pytest.approx(math.exp(total / 6), rel=1e-5)
    assert found["tokens"] == 7


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--unk-token", "a b"), "--unk-token is 'a b'; expected a single word"),
        (("--eos-token", ""), "--eos-token is ''; expected a single word"),
        (("--unk-token", "<eos>"), "--unk-token and --eos-token are both '<eos>'; expected two words"),
        (("--vocabulary-size", "2"), "vocabulary_size is 2; expected at least 3: <unk>, <eos> and a word"),
    ],
)
def test_special_words_that_cannot_be_are_one_line(
    options: tuple[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train(*options, status=2)
    assert capsys.readouterr().err.strip() == f"backtime: {words}"
    assert not Path("run").exists()


def test_a_limit_keeps_the_most_frequent() -> None:
    found = count_vocabulary(["b a b c UNK \n"], "word", 4, Special("UNK", "EOS"))
    assert found.symbols == ["UNK", "EOS", "b", "a"]
    assert found.encode("c\nb").tolist() == [0, 1, 2]
    assert Vocabulary.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert "unknown" not in count_vocabulary(["a"], "word").to_json()  # as version 0.1.0 reads it


def test_words_that_were_forgotten_are_not_said_to_be_all() -> None:
    words = WordCounts(limit=3)
    words.update(["a", "a", "b", "c", "d"])
    with pytest.raises(UsageError, match="more than 3 different words; expected --vocabulary-size"):
        words.all()


@pytest.mark.parametrize(
    "value", [{"unknown": 1}, {"end_of_line": "a b"}, {"unknown": "a", "end_of_line": "a"}]
)
def test_damaged_special_words_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Vocabulary.from_json({"level": "word", "symbols": ["<unk>", "<eos>", "a"], **value})


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="the data for measuring are not there")
def test_wikitext_2_has_its_published_sizes(tmp_path: Path) -> None:
    from backtime.data.text.tokens import prepare_corpus

    tokens, vocabulary = prepare_corpus(SHARED / "train.txt.gz", tmp_path / "train", "word")
    assert (len(tokens), len(vocabulary)) == (2_088_628, 33_278)
    for name, size in (("valid", 217_646), ("test", 245_569)):
        part, _ = prepare_corpus(SHARED / f"{name}.txt", tmp_path / name, vocabulary=vocabulary)
        assert len(part) == size
