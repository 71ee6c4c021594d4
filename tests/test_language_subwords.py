"""Texts in pieces of words: any text comes back as it was; every verb works on it, without PyTorch too."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtime.cli.main import main
from backtime.data.text.counting import count_vocabulary
from backtime.data.text.subwords import byte_of, learn, whole_parts
from backtime.data.text.token_file import TokenFile
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError
from backtime.tasks import load
from backtime.tasks.evaluation import evaluate

pre_tokenizers = pytest.importorskip("tokenizers").pre_tokenizers

SMALL = ["--hidden-size", "8", "--layers", "1", "--batch-size", "2", "--seq-length", "5", "--quiet"]
TEXT = (
    "The cat sat on the mat, and the other cat didn't.\n  Where is it?\n\n\tÜber den Wolken — 東京 🙂\r\n" * 8
)
VOCABULARY = count_vocabulary([TEXT], "subword", 300)
AWKWARD = [
    "\n",
    " ",
    "  ",
    "\r\n",
    "\t",
    "\x1c",
    "\x1f",
    "\x85",
    "\u2028",
    "!",
    "'s",
    "the",
    "cat",
    "é",
    "🙂",
    "9",
    "\0",
]
texts = st.one_of(st.text(), st.lists(st.sampled_from(AWKWARD)).map("".join))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    return tmp_path


def train(*options: Any, status: int = 0) -> None:
    words = ["train", "text.txt", "--level", "subword", "--vocabulary-size", 300, "--out", "run", *SMALL]
    assert main([*map(str, words), *("--max-steps", "2"), *map(str, options)]) == status


@given(text=texts)
def test_any_text_comes_back_as_it_was(text: str) -> None:
    numbers = VOCABULARY.encode(text)
    assert VOCABULARY.decode(numbers) == text
    decoder = VOCABULARY.decoder()
    assert "".join([decoder.feed(int(number)) for number in numbers]) + decoder.flush() == text


@given(text=texts, size=st.integers(1, 7))
def test_reading_in_pieces_cuts_no_symbol(text: str, size: int) -> None:
    pieces = list(whole_parts([text[at : at + size] for at in range(0, len(text), size)], 1 << 20))
    assert "".join(pieces) == text
    joined = [number for piece in pieces for number in VOCABULARY.encode(piece).tolist()]
    assert joined == VOCABULARY.encode(text).tolist()


def test_the_alphabet_is_the_librarys() -> None:
    assert set(byte_of()) == set(pre_tokenizers.ByteLevel.alphabet())
    for byte in range(128):  # the only characters of one byte in UTF-8
        [(found, _)] = pre_tokenizers.ByteLevel(False, use_regex=False).pre_tokenize_str(chr(byte))
        assert byte_of()[found] == byte


def test_the_most_frequent_pair_comes_first() -> None:
    symbols, merges = learn(["ab ab ab abc abc\n"], 259)
    assert merges[0] == "a b" and merges[1] == "Ġ ab"
    assert set(symbols) == {*byte_of(), "ab", "Ġab", "Ġabc"}
    assert Vocabulary("subword", symbols, merges).encode("ab abc").tolist() == [
        symbols.index("ab"), symbols.index("Ġabc"),
    ]  # fmt: skip


def test_learning_is_the_same_again() -> None:
    code = "import sys; from backtime.data.text.subwords import learn; print(learn([sys.argv[1]], 320))"
    runs = {subprocess.run([sys.executable, "-c", code, TEXT], capture_output=True).stdout for _ in range(2)}
    assert runs == {f"{learn([TEXT], 320)}\n".encode()}


def test_json_gives_an_equal_vocabulary() -> None:
    assert Vocabulary.from_json(json.loads(json.dumps(VOCABULARY.to_json()))) == VOCABULARY


def damaged(**changes: Any) -> dict[str, Any]:
    return {**VOCABULARY.to_json(), **changes}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (damaged(symbols=VOCABULARY.symbols[1:]), "symbols lack '!', the byte 33"),
        (
            damaged(merges=[*VOCABULARY.merges, "a nowhere"]),
            "is 'a nowhere'; expected two symbols known before",
        ),
        (damaged(merges=["a"]), "pair 0 is 'a'; expected two symbols"),
        (damaged(merges=VOCABULARY.merges[:-1]), "symbols are 300; expected the 299 that the pairs make"),
        (damaged(merges="a b"), "merges are 'a b'; expected a list of strings"),
        (damaged(symbols=[*VOCABULARY.symbols, "!"]), "'!' for the second time"),
    ],
)
def test_a_damaged_vocabulary_is_one_line(value: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        Vocabulary.from_json(value)
    assert "\n" not in str(caught.value)


def test_train_evaluate_sample_and_predict(place: Path) -> None:
    train()
    tokens = TokenFile("run")
    assert tokens.vocabulary.level == "subword" and len(tokens.vocabulary) == 300
    assert tokens.vocabulary.decode(tokens[:]) == TEXT
    Path("new.txt").write_text("The mat — 東京\nis new\n")
    found = evaluate(Path("run"), Path("new.txt"))
    total = found["loss"] * found["tokens"]
    assert (found["words"], found["characters"]) == (8, 20)
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    assert found["perplexity_per_word"] == pytest.approx(math.exp(total / 8))
    assert found["bits_per_character"] == pytest.approx(total / math.log(2) / 20)
    model = load("run")
    text = "".join(model.sample("The ", length=200, seed=3))  # type: ignore[attr-defined]
    assert text and "Ġ" not in text
    [row] = model.predict(["The cat"])
    assert row["unknown"] == 0 and row["loss"] > 0 and "Ġ" not in row["next"]


def test_a_resume_is_exact_and_another_model_begins_with_its_symbols(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("--max-steps", 6, "--out", "whole")
    train("--max-steps", 3, "--out", "parts")
    assert main(["train", "--resume", "parts", "--max-steps", "6", "--quiet"]) == 0
    whole, parts = (Path(run, "last/model.safetensors").read_bytes() for run in ("whole", "parts"))
    assert whole == parts
    Path("text.txt").write_text(TEXT + "something else\n" * 50)
    train("--init-from", "whole", "--out", "other")
    assert TokenFile("other").vocabulary == TokenFile("whole").vocabulary
    capsys.readouterr()
    train("--init-from", "whole", "--vocabulary-size", 290, "--out", "third", status=2)
    assert "--vocabulary-size 290 conflicts with 300" in capsys.readouterr().err


def test_the_runtime_needs_no_pytorch(place: Path) -> None:
    train()
    code = """
import sys
sys.modules["torch"] = None
from backtime.tasks import load
model = load("run")
print(next(model.predict(["The cat"]))["tokens"] > 0, len("".join(model.sample("The", length=20))) > 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "True True\n"


def test_without_the_library_one_line_says_what_to_install(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    train(status=2)
    expected = "backtime: --level subword needs tokenizers: pip install 'backtime[subword]'\n"
    assert capsys.readouterr().err == expected
    assert not Path("run").exists()


@pytest.mark.parametrize("size", [1, 256])
def test_too_few_symbols_are_one_line(size: int, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--vocabulary-size", size, status=2)
    assert capsys.readouterr().err == (
        f"backtime: vocabulary_size is {size}; expected at least 257: the 256 bytes and a pair of them\n"
    )


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError, match="half a character"):
        VOCABULARY.encode("a\ud83d")
    with pytest.raises(UsageError, match="a word of over 5 characters; use --level byte"):
        list(whole_parts(["abc", "def"], 5))
