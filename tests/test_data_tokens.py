"""The token file: made once, made anew on any change, whole or not there at all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backtime.data.batching.streams import Streams, split
from backtime.data.text import readers, token_file, tokens
from backtime.data.text.token_file import TokenFile
from backtime.data.text.tokens import prepare_corpus
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError

TEXT = "Ein Text für den Test: 🙂 äöü\r\nund <unk> mehr\n" * 20


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(TEXT.encode())
    return path


@pytest.fixture
def made(monkeypatch):
    """Which token files were really made, and not taken as they were."""
    folders = []

    def write(folder, *rest):
        folders.append(folder)
        token_file.write_tokens(folder, *rest)

    monkeypatch.setattr(tokens, "write_tokens", write)
    return folders


def rewrite(path, data):
    """Change a file and its time, which on a coarse clock might stay the same."""
    before = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@pytest.mark.parametrize("level", ["char", "byte", "word"])
def test_the_file_holds_the_text(text, tmp_path, monkeypatch, level, block):
    monkeypatch.setattr(readers, "BLOCK", block)
    row, vocabulary = prepare_corpus(text, tmp_path / "run", level)
    assert np.array_equal(row[:], vocabulary.encode(TEXT))
    assert np.array_equal(row.tokens, row[:])
    assert not row.tokens.flags.writeable
    assert row.vocabulary == vocabulary
    assert (row.corpus, row.text_bytes, row.files, row.skipped) == (str(text), len(TEXT.encode()), 1, 0)
    assert sorted(files_of(tmp_path / "run")) == ["tokens.bin", "tokens.json"]


@pytest.mark.parametrize(("V", "dtype"), [(256, "u1"), (257, "<u2"), (65_536, "<u2"), (65_537, "<i4")])
def test_numbers_are_as_narrow_as_the_vocabulary_allows(tmp_path, V, dtype):
    vocabulary = Vocabulary("char", [chr(0x10000 + i) for i in range(V)])
    path = tmp_path / "text"
    path.write_text(vocabulary.symbols[0] + vocabulary.symbols[-1], encoding="utf-8")
    row, _ = prepare_corpus(path, tmp_path, vocabulary=vocabulary)
    assert row.dtype == np.dtype(dtype)
    assert row[:].tolist() == [0, V - 1]


def test_slices_are_those_of_the_array(text, tmp_path):
    row, _ = prepare_corpus(text, tmp_path)
    array = np.array(row.tokens)
    for where in (slice(3, 9), slice(-5, None), slice(9, 3), slice(0, 10**9), slice(None)):
        assert np.array_equal(row[where], array[where])
    with pytest.raises(UsageError, match="step 2"):
        row[::2]


def test_chunks_from_the_file_are_those_from_an_array(text, tmp_path):
    row, _ = prepare_corpus(text, tmp_path)
    array = np.array(row.tokens)
    for part_of_file, part_of_array in zip(split(row, 0.2), split(array, 0.2), strict=True):
        pairs = zip(Streams(part_of_file, 3, 7), Streams(part_of_array, 3, 7), strict=True)
        assert all(np.array_equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))


def test_it_is_made_once(text, tmp_path, made):
    first, vocabulary = prepare_corpus(text, tmp_path)
    again, same = prepare_corpus(text, tmp_path)
    resumed, _ = prepare_corpus(text, tmp_path, vocabulary=vocabulary)
    assert made == [tmp_path]
    assert same == vocabulary
    assert first.fingerprint == again.fingerprint == resumed.fingerprint


def test_it_is_made_anew_when_the_request_changes(text, tmp_path, made):
    requests = [
        {},
        {"level": "byte"},
        {"level": "word"},
        {"level": "word", "vocabulary_size": 5},
        {"vocabulary": Vocabulary("byte")},
        {"vocabulary": Vocabulary("byte"), "unknown": "skip"},
        {"level": "byte"},
    ]
    for count, request in enumerate(requests, 1):
        prepare_corpus(text, tmp_path, **request)
        assert len(made) == count
    prepare_corpus(text, tmp_path, level="byte", vocabulary_size=7)  # which only word level looks at
    assert len(made) == len(requests)


def test_it_is_made_anew_when_the_text_changes_and_the_fingerprint_tells(text, tmp_path, made):
    first, vocabulary = prepare_corpus(text, tmp_path)
    rewrite(text, text.read_bytes())  # touched, not changed
    touched, _ = prepare_corpus(text, tmp_path, vocabulary=vocabulary)
    rewrite(text, TEXT.replace("Test", "Tset", 1).encode())
    changed, _ = prepare_corpus(text, tmp_path, vocabulary=vocabulary)
    assert len(made) == 3
    assert first.fingerprint == touched.fingerprint != changed.fingerprint
    assert np.array_equal(first[:], touched[:])  # still open: the replaced file lives on


def test_a_new_file_in_the_folder_changes_the_corpus(tmp_path, made):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "b").write_text("bb\n")
    run = folder / "run"
    first, _ = prepare_corpus(folder, run)
    prepare_corpus(folder, run)
    assert len(made) == 1
    (folder / "a").write_text("aa\n")
    second, vocabulary = prepare_corpus(folder, run)
    assert vocabulary.decode(second[:]) == "aa\nbb\n"
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: (run / "tokens.bin").unlink(),
        lambda run: (run / "tokens.json").unlink(),
        lambda run: os.truncate(run / "tokens.bin", 10),
        lambda run: (run / "tokens.json").write_text("{"),
        lambda run: (run / "tokens.json").write_text("[]"),
        lambda run: (run / "tokens.json").write_bytes(b"\xff"),
        lambda run: change(run, format=99),
        lambda run: change(run, dtype=[]),
        lambda run: change(run, length="many"),
        lambda run: change(run, vocabulary={"level": "char", "symbols": ["ab"]}),
    ],
)
def test_a_damaged_file_is_made_anew(text, tmp_path, damage):
    run = tmp_path / "run"
    prepare_corpus(text, run)
    whole = files_of(run)
    damage(run)
    with pytest.raises(UsageError) as caught:
        _ = TokenFile(run).vocabulary
    assert "\n" not in str(caught.value)
    prepare_corpus(text, run)
    assert files_of(run) == whole


def change(run, **values):
    path = run / "tokens.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("moment", ["reading", "between"])
def test_an_interruption_leaves_nothing_broken(text, tmp_path, monkeypatch, moment):
    """Old tokens stay while reading; between the two files, new numbers never meet the old description."""
    run = tmp_path / "run"
    old, _ = prepare_corpus(text, run)
    rewrite(text, TEXT.replace("mehr", "rehm").encode())  # equally long, so that the size tells nothing

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "reading":
            patch.setattr(Vocabulary, "encode", interrupt)
        else:
            patch.setattr(token_file, "write_json_atomic", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare_corpus(text, run)
    if moment == "reading":
        assert sorted(files_of(run)) == ["tokens.bin", "tokens.json"]
        assert TokenFile(run).fingerprint == old.fingerprint
    else:
        with pytest.raises(UsageError, match="holds no prepared corpus"):
            TokenFile(run)
    row, vocabulary = prepare_corpus(text, run)
    assert vocabulary.decode(row[:]) == TEXT.replace("mehr", "rehm")


def test_a_killed_process_leaves_nothing_broken(text, tmp_path):
    code = """
import os, signal, sys
from backtime.data.text import tokens
from backtime.data.text.vocabulary import Vocabulary
def killed(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
Vocabulary.encode = killed
tokens.prepare_corpus(sys.argv[1], sys.argv[2])
"""
    run = tmp_path / "run"
    assert subprocess.run([sys.executable, "-c", code, str(text), str(run)], check=False).returncode == -9
    row, vocabulary = prepare_corpus(text, run)
    assert vocabulary.decode(row[:]) == TEXT
    assert sorted(files_of(run)) == ["tokens.bin", "tokens.json"]


def test_a_text_that_changes_while_it_is_read_is_refused(text, tmp_path, monkeypatch):
    encode = Vocabulary.encode

    def encode_late(*arguments):
        rewrite(text, TEXT.encode() * 2)
        return encode(*arguments)

    monkeypatch.setattr(Vocabulary, "encode", encode_late)
    with pytest.raises(UsageError, match="text changed while it was read; start again"):
        prepare_corpus(text, tmp_path / "run")
    assert files_of(tmp_path / "run") == {}


@pytest.mark.parametrize("block", [1, 1 << 20])
def test_an_unknown_character_is_named_with_its_place_in_the_file(tmp_path, monkeypatch, block):
    monkeypatch.setattr(readers, "BLOCK", block)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a").write_text("ab\nba\n")
    (tmp_path / "texts" / "b").write_text("ab\nba\naa€b", encoding="utf-8")
    vocabulary = Vocabulary("char", ["\n", "a", "b"])
    with pytest.raises(UsageError) as caught:
        prepare_corpus(tmp_path / "texts", tmp_path / "run", vocabulary=vocabulary)
    place = f"{tmp_path / 'texts' / 'b'} line 3, column 3 (offset 8)"
    assert str(caught.value) == (
        f"the character '€' (U+20AC) at {place} is not one of the 3 characters of the vocabulary"
    )
    row, _ = prepare_corpus(tmp_path / "texts", tmp_path / "run", vocabulary=vocabulary, unknown="skip")
    assert vocabulary.decode(row[:]) == "ab\nba\nab\nba\naab"


def test_a_text_without_any_symbol_is_refused(tmp_path):
    (tmp_path / "spaces").write_text("   ")
    (tmp_path / "run").write_text("a file where the folder should be")
    with pytest.raises(UsageError, match="has no symbol of the vocabulary"):
        prepare_corpus(tmp_path / "spaces", tmp_path / "other", "word")
    with pytest.raises(UsageError, match="level is 'line'"):
        prepare_corpus(tmp_path / "spaces", tmp_path / "other", "line")
    with pytest.raises(UsageError, match="cannot make the folder"):
        prepare_corpus(tmp_path / "spaces", tmp_path / "run")


def test_a_file_cut_short_while_in_use_is_noticed(text, tmp_path):
    row, _ = prepare_corpus(text, tmp_path)
    os.truncate(tmp_path / "tokens.bin", 100)
    with pytest.raises(UsageError, match="cut short while it was in use"):
        row[50:150]


@pytest.mark.parametrize(("level", "passes"), [("char", 2), ("byte", 1), ("word", 2)])
def test_progress_counts_up_to_the_total(text, tmp_path, monkeypatch, level, passes):
    monkeypatch.setattr(readers, "BLOCK", 100)
    told = []
    prepare_corpus(text, tmp_path / "run", level, progress=lambda *now: told.append(now))
    total = passes * len(TEXT.encode())
    assert {of for _, of in told} == {total}
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (total, total)


MEMORY = """
import re, sys
from pathlib import Path
from backtime.data.batching.streams import Streams
from backtime.data.text.tokens import prepare_corpus
def peak():  # not getrusage's: that one starts from the peak of the process that started this one
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
before = peak()
row, _ = prepare_corpus(sys.argv[1], sys.argv[2])
row = row.tokens if sys.argv[3] == "map" else row
targets = sum(y.size for _, y in Streams(row, 16, 4096))
print(targets, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize("through", ["file", "map"])
def test_memory_stays_small_while_all_of_a_large_text_is_read(tmp_path, through):
    """40 MiB of text must not add 20: neither text nor tokens nor the pages of a memory map pile up.

    Through a memory map they do, which proves that the measurement can tell.
    """
    path = tmp_path / "large"
    path.write_bytes(b"0123456789abcde\n" * (40 << 16))
    command = [sys.executable, "-c", MEMORY, str(path), str(tmp_path / "run"), through]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    targets, grown = map(int, output.split())
    assert targets > 41_000_000
    assert (grown < 20 << 20) == (through == "file")
