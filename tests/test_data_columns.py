"""Tagged sentences from columns, CoNLL-U and pairs; what is wrong is told with file and line."""

import gzip
import io
import sys
from pathlib import Path

import pytest

from backtime.data.batching.words import word_batch
from backtime.data.columns import Places, read_tagged, read_untagged
from backtime.data.lexicon import Lexicon, closed, opened, unread
from backtime.errors import UnknownValueError, UsageError

CONLL = "-DOCSTART- -X- O O\n\nEU NNP I-NP B-ORG\nrejects VBZ I-VP O\n\n\n# NN I-NP O\n"
CONLLU = """\
# sent_id = 1
# text = I don't
1\tI\tI\tPRON\tPRP\t_\t2\tnsubj\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\tVBP\t_\t0\troot\t_\t_
3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_
3.1\tgone\t_\t_\t_\t_\t_\t_\t_\t_

"""


def pairs(folder: Path, words: str, tags: str) -> Path:
    (folder / "seq.in").write_text(words)
    (folder / "seq.out").write_text(tags)
    return folder


def test_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text(CONLL)  # no blank line at its end; '#' is a word
    assert list(read_tagged(path)) == [
        (["EU", "rejects"], ["B-ORG", "O"], f"{path} line 3"),
        (["#"], ["O"], f"{path} line 7"),
    ]
    assert [own.tags for own in read_tagged(path, Places(1, 2))] == [["NNP", "VBZ"], ["NN"]]
    path.write_text("a b\tX\r\nc\tY\r\n")  # a tab separates, a space does not; Windows' ends of lines
    assert [own[:2] for own in read_tagged(path)] == [(["a b", "c"], ["X", "Y"])]


def test_conllu(tmp_path: Path) -> None:
    path = tmp_path / "a.conllu.gz"
    path.write_bytes(gzip.compress(CONLLU.encode()))
    assert [own[:2] for own in read_tagged(path)] == [(["I", "do", "n't"], ["PRON", "AUX", "PART"])]
    assert [own.tags for own in read_tagged(path, Places(tag=5))] == [["PRP", "VBP", "RB"]]
    assert [own[:2] for own in read_untagged(path)] == [(["I", "do", "n't"], [])]


def test_pairs(tmp_path: Path) -> None:
    folder = pairs(tmp_path, "play  this \nstop\n", "O B-x\nO \n")
    assert [own[:2] for own in read_tagged(folder)] == [(["play", "this"], ["O", "B-x"]), (["stop"], ["O"])]
    assert [own.words for own in read_untagged(folder)] == [["play", "this"], ["stop"]]


def test_lines_to_be_tagged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("né à\nb\n".encode())))
    assert [own.words for own in read_untagged(None)] == [["né", "à"], ["b"]]
    (tmp_path / "a.txt").write_text("a b\n\n")
    with pytest.raises(UsageError, match=r"a.txt line 2 is empty; expected the words of a sentence"):
        list(read_untagged(tmp_path / "a.txt"))
    (tmp_path / "a.conll").write_text("a\nb\n\nc\n")
    assert [own.words for own in read_untagged(tmp_path / "a.conll")] == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.conll",
            b"a X\nb X Y\n",
            "a.conll line 2 has 3 columns; expected 2, as in line 1: a word and its tag, like 'London",
        ),
        (
            "a.txt",
            b"Once\n",
            "a.txt line 1 has 1 column; expected a word and its tag a line, like 'London B-city'",
        ),
        ("a.tsv", b"a\tX\nb\t\n", "a.tsv line 2 has an empty tag; expected a word"),
        ("a.tsv", b"a\tX\n\tX\n", "a.tsv line 2 has an empty word; expected a word"),
        ("a.conllu", b"1\ta\tX\n", "a.conllu line 1 has 3 columns; expected 10, of CoNLL-U"),
        ("a.conll", b"a X\n\xe9 X\n", "a.conll line 2 is not UTF-8: byte 0xe9"),
        ("a.gz", b"a X\n", "cannot read .*a.gz: Not a gzipped file"),
        (
            "a.gz",
            gzip.compress(b"a X\n" * 9, mtime=0)[:-9],
            "cannot read .*a.gz: Compressed file ended before",
        ),
        ("none", None, "cannot read .*none: No such file"),
    ],
)
def test_wrong_columns(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        list(read_tagged(tmp_path / name))


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a X\n")
    with pytest.raises(UsageError, match="a line 1 has 2 columns; --tag-column is 3"):
        list(read_tagged(tmp_path / "a", Places(tag=3)))


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        ("a b\n", "X\n", "seq.in line 1 has 2 words, .*seq.out has 1 tags there; expected as many"),
        ("a\nb\n", "X\n", "seq.out ends before line 2, .*seq.in does not"),
        ("a\n", "X\nX\n", "seq.in ends before line 2, .*seq.out does not"),
        ("a\n\n", "X\n\n", "seq.in line 2 is empty"),
    ],
)
def test_wrong_pairs(tmp_path: Path, words: str, tags: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(read_tagged(pairs(tmp_path, words, tags)))


def test_a_folder_without_pairs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no seq\.in; expected a folder"):
        list(read_tagged(tmp_path))


def test_lexicons() -> None:
    words = opened("word", {"b": 2, "a": 2, "rare": 1, "<unk>": 5}, least=2)
    assert words.symbols == ["<unk>", "a", "b"] and words.numbers(["b", "rare"]) == [2, 0]
    tags = closed("tag", "YXY")
    assert tags.numbers("XY") == [0, 1] and Lexicon.from_json(tags.to_json()) == tags
    with pytest.raises(UnknownValueError, match="the tag 'Z' was not in training; expected one of X, Y"):
        tags.number("Z")
    for wrong in (None, {}, {"kind": "tag", "symbols": [1], "open": False}, {**tags.to_json(), "more": 1}):
        with pytest.raises(UsageError, match="expected kind, symbols and open"):
            Lexicon.from_json(wrong)
    with pytest.raises(UsageError, match="twice"):
        Lexicon("tag", ["X", "X"])
    with pytest.raises(UsageError, match="begin with <unk>"):
        Lexicon("word", ["a"], True)


def test_rare_words_are_read_as_unknown_more_often() -> None:
    assert unread([[0, 1], [2, 2, 2]], 4, 1.0).tolist() == [0.5, 0.5, 0.25, 1]
    assert unread([[0, 1]], 3, 0).tolist() == [0, 0, 0]


def test_a_batch_spells_each_word_once() -> None:
    words, characters = opened("word", {"aa": 1, "b": 1}), opened("character", {"a": 1, "A": 1, "b": 1})
    batch = word_batch([["b", "AA", "b"], ["xaa"]], words, characters)
    assert batch.words.tolist() == [words.number("b"), 0, words.number("aa"), words.number("b")]
    assert batch.batch_sizes.tolist() == [2, 1, 1]
    distinct = ["xaa", "AA", "b"]  # the longest first
    assert [distinct[k] for k in batch.spelled] == ["b", "xaa", "AA", "b"]
    first = [characters.number(word[0]) for word in distinct]
    second = [characters.number(word[1]) for word in distinct[:2]]
    assert batch.letters.tolist() == [*first, *second, characters.number("a")]
    assert batch.letter_sizes.tolist() == [3, 2, 1]
