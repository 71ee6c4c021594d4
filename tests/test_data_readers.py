"""Finding the files of a corpus and reading them in pieces of any size."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtime.data.text import corpus as corpora
from backtime.data.text import readers
from backtime.data.text.corpus import find_corpus
from backtime.data.text.readers import read_bytes, read_text, whole_words
from backtime.errors import UsageError

TEXT = "a€b\r\nçé🙂\rz\u2028e\u0301\n"


def write(folder, **contents):
    for name, content in contents.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def found(folder, **options):
    return [str(source.path.relative_to(folder)) for source in find_corpus(folder, "char", **options).files]


@pytest.mark.parametrize("block", [1, 2, 3, 5, 1 << 20])
def test_characters_survive_any_cut_between_blocks(tmp_path, monkeypatch, block):
    monkeypatch.setattr(readers, "BLOCK", block)
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    corpus = find_corpus(path, "char")
    assert "".join(read_text(corpus)) == TEXT  # newlines as they are, the byte order mark left out
    assert b"".join(read_bytes(corpus)) == path.read_bytes()


@pytest.mark.parametrize("block", [1, 2, 4, 1 << 20])
@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        (b"ab\xff", 2, "invalid start byte"),
        ("aé".encode() + b"\xe9t\xe9", 3, "invalid continuation byte"),
        (b"abc\xf0\x9f\x99", 3, "unexpected end of data"),
    ],
)
def test_a_byte_that_is_not_utf8_is_named_with_file_and_offset(
    tmp_path, monkeypatch, block, data, offset, reason
):
    monkeypatch.setattr(readers, "BLOCK", block)
    path = tmp_path / "latin1.txt"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        list(read_text(find_corpus(path, "char")))
    assert str(caught.value) == (
        f"{path} is not UTF-8: byte 0x{data[offset]:02x} at offset {offset} ({reason}); "
        "convert it to UTF-8, or use --level byte"
    )


def test_utf16_is_recognised(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("text".encode("utf-16"))
    with pytest.raises(UsageError, match="looks like UTF-16; convert it"):
        list(read_text(find_corpus(path, "char")))


@given(words=st.lists(st.text(" \n\u2003ab🙂", max_size=6), max_size=20))
def test_pieces_end_between_words_and_lose_nothing(words):
    pieces = [word for word in words if word]
    text = "".join(pieces)
    cut = list(whole_words(pieces))
    assert "".join(cut) == text
    assert [word for piece in cut for word in piece.split()] == text.split()


def test_a_text_without_white_space_does_not_pile_up_in_memory(monkeypatch):
    monkeypatch.setattr(readers, "LONGEST_WORD", 100)
    with pytest.raises(UsageError, match="word of over 100 characters; use --level char"):
        list(whole_words(["x"] * 101))


def test_a_folder_is_its_text_files_sorted_by_path(tmp_path):
    write(
        tmp_path, b__z=b"3\n", b__a=b"2", a=b"1", c=b"4\n", empty=b"", picture=b"\x89PNG\0\0", old=b"caf\xe9"
    )
    write(tmp_path, **{".hidden": b"no", ".git__config": b"no", "b__.swp": b"no"})
    corpus = find_corpus(tmp_path, "char")
    assert found(tmp_path) == ["a", "b/a", "b/z", "c"]
    assert corpus.skipped == 2
    assert "".join(read_text(corpus)) == "1\n2\n3\n4\n"  # a newline where a file lacks one
    assert b"".join(read_bytes(corpus)) == b"1\n2\n3\n4\n"
    assert find_corpus(tmp_path, "byte").skipped == 1  # at byte level the Latin-1 file counts too


def test_a_character_cut_by_the_end_of_the_head_is_still_text(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "HEAD", 2)
    write(tmp_path, a="a€".encode(), b=b"a\xff")
    assert found(tmp_path) == ["a"]


def test_run_folders_are_not_part_of_the_corpus(tmp_path):
    write(tmp_path, text=b"text", runs__old__config=b"{}", runs__new__config=b"{}", notes__tokens=b"text")
    write(tmp_path / "runs" / "old", **{"tokens.bin": b"ab", "tokens.json": b"{}", "best__readme": b"x"})
    assert found(tmp_path, run_folder=tmp_path / "runs" / "new") == ["notes/tokens", "text"]
    with pytest.raises(UsageError, match="both the corpus and the run folder"):
        find_corpus(tmp_path, "char", tmp_path)


def test_links_to_files_count_and_pipes_do_not(tmp_path):
    write(tmp_path, a__text=b"text")
    (tmp_path / "link").symlink_to(tmp_path / "a" / "text")
    (tmp_path / "dangling").symlink_to(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")
    assert found(tmp_path) == ["a/text", "link"]
    with pytest.raises(UsageError, match="pipe is not a regular file"):
        find_corpus(tmp_path / "pipe", "char")


def test_what_is_no_corpus_is_refused_in_one_line(tmp_path):
    write(tmp_path, empty=b"", binaries__a=b"\0", nothing__x=b"")
    cases = {
        "missing": "cannot read .*missing: No such file or directory",
        "empty": "empty is empty; expected a text",
        "nothing": "nothing has no text in it; expected",
        "binaries": r"binaries has no text in it \(1 files in it are not UTF-8\)",
    }
    for name, message in cases.items():
        with pytest.raises(UsageError, match=message) as caught:
            find_corpus(tmp_path / name, "char")
        assert "\n" not in str(caught.value)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def forbidden(path, *arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    write(tmp_path, secret=b"text")
    corpus = find_corpus(tmp_path, "char")
    monkeypatch.setattr(Path, "open", forbidden)  # the root user may read whatever its mode says
    for read in (lambda: find_corpus(tmp_path, "char"), lambda: list(read_text(corpus))):
        with pytest.raises(UsageError, match=r"cannot read .*secret: Permission denied"):
            read()


def test_the_default_corpus_is_the_standard_librarys_sources():
    corpus = find_corpus(None, "char")
    names = [source.path.as_posix() for source in corpus.files]
    assert len(names) > 100
    assert any(name.endswith("/json/decoder.py") for name in names)
    assert not any("site-packages" in name or "/test/" in name for name in names)
    assert 10**6 < corpus.size < 3 * 10**7
    assert corpus == find_corpus(None, "char")


def test_a_python_without_its_sources_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(UsageError, match="lacks the standard library's sources"):
        find_corpus(None, "char")
