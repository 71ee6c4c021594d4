"""Symbols to numbers and back, at every level and for every text."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtime.data.text.counting import WordCounts, count_vocabulary
from backtime.data.text.symbols import UnknownSymbolError, split_words
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError

AWKWARD = [
    "naïve e\u0301",
    "👩‍👩‍👧 🇫🇷",
    "a\r\nb\n\n",
    "\x00\x1c\u2028\x85",
    "\U0010ffff",
    "\ufeff",
    " ",
    "<unk> <eos>",
]
texts = st.one_of(st.text(), st.lists(st.sampled_from(AWKWARD)).map("".join))


def vocabulary_of(text, level):
    return count_vocabulary([text], level)


def streamed(vocabulary, ids):
    decoder = vocabulary.decoder()
    return "".join([decoder.feed(int(id)) for id in ids]) + decoder.flush()


@pytest.mark.parametrize("level", ["char", "byte"])
@given(text=texts.filter(bool))
def test_characters_and_bytes_come_back_as_they_were(level, text):
    vocabulary = vocabulary_of(text, level)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int32
    assert len(ids) == len(text if level == "char" else text.encode())
    assert vocabulary.decode(ids) == text
    assert streamed(vocabulary, ids) == text


@given(text=texts)
def test_words_come_back_with_single_spaces(text):
    vocabulary = vocabulary_of(text, "word")
    ids = vocabulary.encode(text)
    plain = "\n".join([" ".join(line.split()) for line in text.split("\n")]).replace("<eos>", "\n")
    if "<eos>" not in text:
        assert vocabulary.decode(ids) == plain
    assert streamed(vocabulary, ids) == vocabulary.decode(ids)
    assert np.array_equal(vocabulary.encode(vocabulary.decode(ids)), ids)


@given(data=st.binary())
def test_bytes_that_are_no_text_decode_as_python_replaces_them(data):
    vocabulary, ids = Vocabulary("byte"), np.frombuffer(data, np.uint8)
    assert vocabulary.decode(ids) == streamed(vocabulary, ids) == data.decode("utf-8", "replace")


def test_a_character_is_held_back_until_its_last_byte():
    decoder = Vocabulary("byte").decoder()
    assert [decoder.feed(byte) for byte in "é€".encode()] == ["", "é", "", "", "€"]
    assert decoder.feed(0xF0) == ""
    assert decoder.flush() == "\ufffd"


def test_words_continue_a_prompt_after_a_space():
    vocabulary = Vocabulary("word", ["<unk>", "<eos>", "to", "be"])
    decoder = vocabulary.decoder()
    prompt = [decoder.feed(int(id)) for id in vocabulary.encode("to")]
    assert prompt == ["to"]
    assert [decoder.feed(id) for id in (3, 1, 2)] == [" be", "\n", "to"]


def test_char_symbols_are_sorted_by_code_point():
    assert count_vocabulary(["b🙂a", "é\nb"], "char").symbols == ["\n", "a", "b", "é", "🙂"]


def test_word_symbols_are_the_most_frequent_ones_and_ties_go_by_code_points():
    text = "b a c a\nz y b <unk> q <unk>\n"
    assert count_vocabulary([text], "word", 6).symbols == ["<unk>", "<eos>", "a", "b", "c", "q"]
    assert len(count_vocabulary([text], "word")) == 8


def test_rare_words_are_unk_and_so_is_the_texts_own_unk():
    vocabulary = Vocabulary("word", ["<eos>", "a", "<unk>"])
    assert vocabulary.encode("a zebra\n<unk>").tolist() == [1, 2, 0, 2]


def test_newlines_stay_as_they_are_at_char_level():
    assert count_vocabulary(["a\r\nb\rc\n"], "char").symbols == ["\n", "\r", "a", "b", "c"]


def test_forgetting_rare_words_keeps_the_frequent_ones_exact():
    words = WordCounts(limit=50)
    for at in range(300):
        words.update(
            ["often", *(f"once{at}-{k}" for k in range(10)), *(["twice", "twice"] if at % 2 else [])]
        )
        assert len(words.counts) <= 50
    assert words.most_frequent(2) == ["often", "twice"]
    assert words.counts["often"] == words.counts["twice"] == 300


@pytest.mark.parametrize("text", ["", "\n", "a b\nc", "\n\na"])
def test_each_newline_is_one_end_of_line(text):
    assert split_words(text).count("<eos>") == text.count("\n")


def test_an_unknown_character_is_named_with_its_place():
    vocabulary = Vocabulary("char", ["\n", "a", "b"])
    with pytest.raises(UnknownSymbolError) as caught:
        vocabulary.encode("ab\nba€a")
    assert str(caught.value) == (
        "the character '€' (U+20AC) at line 2, column 3 (offset 5) "
        "is not one of the 3 characters of the vocabulary"
    )
    assert caught.value.symbol == "€"
    assert vocabulary.encode("ab\nba€a🙂", unknown="skip").tolist() == [1, 2, 0, 2, 1, 1]
    with pytest.raises(UsageError, match="U\\+0041"):  # between known code points, not above them
        vocabulary.encode("A")


def test_a_shells_undecodable_bytes_reach_the_byte_level_as_they_were():
    text = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert Vocabulary("byte").encode(text).tolist() == list(b"caf\xe9")
    with pytest.raises(UsageError, match="half a character"):
        Vocabulary("byte").encode("\ud800")
    with pytest.raises(UsageError, match="is not one of"):
        Vocabulary("char", ["a"]).encode(text[-1])


@given(text=texts.filter(bool), level=st.sampled_from(["char", "byte", "word"]))
def test_json_gives_an_equal_vocabulary(text, level):
    vocabulary = vocabulary_of(text, level)
    assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "the vocabulary is None; expected an object"),
        ([1], "expected an object with level and symbols"),
        ({"symbols": ["a"]}, "expected an object with level and symbols"),
        ({"level": 3}, "expected an object with level and symbols"),
        (
            {"level": "syllable", "symbols": ["a"]},
            "level is 'syllable'; expected one of char, byte, word, subword",
        ),
        ({"level": "char"}, "symbols is empty"),
        ({"level": "char", "symbols": "abc"}, "expected a list of strings"),
        ({"level": "char", "symbols": ["a", 1]}, "expected a list of strings"),
        ({"level": "char", "symbols": ["a", "bc"]}, "symbol 1 is 'bc'; expected a single char"),
        ({"level": "char", "symbols": ["a", "\ud800"]}, "symbol 1 is .*; expected a single char"),
        ({"level": "char", "symbols": ["a", "b", "a"]}, "symbol 2 is 'a' for the second time"),
        ({"level": "byte", "symbols": ["a"]}, "leave them out"),
        ({"level": "word", "symbols": ["<unk>", "a"]}, "symbols lack <eos>"),
        ({"level": "word", "symbols": ["<eos>", "a"]}, "symbols lack <unk>"),
        (
            {"level": "word", "symbols": ["<eos>", "<unk>", "a b"]},
            "symbol 2 is 'a b'; expected a single word",
        ),
    ],
)
def test_what_is_no_vocabulary_is_refused_in_one_line(value, message):
    with pytest.raises(UsageError, match=message) as caught:
        Vocabulary.from_json(value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("level", ["char", "byte", "word"])
def test_numbers_out_of_range_are_refused(level):
    vocabulary = vocabulary_of("a b", level)
    for id in (-1, len(vocabulary)):
        with pytest.raises(UsageError, match=f"expected 0 to {len(vocabulary) - 1}"):
            vocabulary.decode([0, id])
        with pytest.raises(UsageError, match=f"id is {id}"):
            vocabulary.decoder().feed(id)
    with pytest.raises(UsageError, match="a row of integers"):
        vocabulary.decode([0.5])
    assert vocabulary.decode([]) == ""


def test_bad_arguments_are_refused():
    with pytest.raises(UsageError, match="unknown is 'drop'; expected error or skip"):
        Vocabulary("byte").encode("a", unknown="drop")
    with pytest.raises(UsageError, match="vocabulary_size is 2; expected at least 3"):
        count_vocabulary(["a"], "word", 2)


def test_the_vocabulary_needs_nothing_heavy():
    code = "import sys, backtime.data.text.vocabulary; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not {"torch", "hashlib", "backtime.data.text.tokens", "backtime.kernels"} & set(loaded.split())
