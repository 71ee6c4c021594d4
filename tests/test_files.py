"""Files are written whole or not at all, whatever interrupts the writing."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backtime.errors import UsageError
from backtime.files import atomic_write, write_json_atomic, write_together


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_new_content_appears_only_at_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_block_leaves_the_previous_file_and_nothing_else(tmp_path, interruption):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(interruption), atomic_write(path) as file:
        file.write(b"half of the n")
        raise interruption
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("moment", ["write", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch, moment, number):
    def full(handle):
        raise OSError(number, os.strerror(number))

    path = tmp_path / "file"
    path.write_bytes(b"old")
    if moment == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    expected = f"no space left on device while writing {path}; the previous file is untouched"
    with pytest.raises(UsageError) as caught, atomic_write(path) as file:
        file.write(b"new")
        if moment == "write":
            full(file)
    assert str(caught.value) == expected
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_a_disk_that_really_is_full(tmp_path):
    """The kernel's own refusal, met when the buffered bytes are flushed."""
    path = tmp_path / "file"
    (tmp_path / f".file.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(UsageError, match="no space left on device while writing"), atomic_write(path) as file:
        file.write(b"new")
    assert names(tmp_path) == []


def test_other_errors_of_the_block_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "file"):
        (tmp_path / "missing").read_bytes()
    assert names(tmp_path) == []


def test_a_missing_folder_is_one_clear_line(tmp_path):
    path = tmp_path / "missing" / "file"
    with (
        pytest.raises(UsageError, match=r"cannot write .*missing/file: No such file or directory"),
        atomic_write(path),
    ):
        pass


def test_what_a_killed_process_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path):
    path = tmp_path / "a[b]*.bin"  # characters that a glob pattern gives a meaning
    code = f"""
import os, signal
from backtime.files import atomic_write
with atomic_write({str(path)!r}) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -9
    (left,) = names(tmp_path)
    assert left.startswith(".a[b]*.bin.")
    alive = tmp_path / f".{path.name}.{os.getppid()}.tmp"
    alive.write_bytes(b"somebody is writing this")
    write_json_atomic(path, {"whole": True})
    assert names(tmp_path) == sorted([alive.name, path.name])
    assert json.loads(path.read_text()) == {"whole": True}


def test_what_json_cannot_say_leaves_the_previous_file(tmp_path):
    path = tmp_path / "file.json"
    write_json_atomic(path, {"text": "é\udcff"})
    with pytest.raises(TypeError):
        write_json_atomic(path, {"value": object()})
    assert json.loads(path.read_bytes()) == {"text": "é\udcff"}


@pytest.mark.parametrize("moment", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_files_are_written_together_or_not_at_all(tmp_path, monkeypatch, moment, error):
    """What goes wrong with the last of them, before any has its name, leaves all as they were."""
    contents = {tmp_path / name: name.encode() for name in ("a", "b", "c")}
    (tmp_path / "b").write_bytes(b"old")
    calls, own = [], getattr(os, moment) if moment == "fsync" else Path.replace

    def fails(*given):
        calls.append(given)
        if moment == "replace" or len(calls) == 3:
            raise error
        return own(*given)

    monkeypatch.setattr(*((os, "fsync") if moment == "fsync" else (Path, "replace")), fails)
    with pytest.raises(UsageError if isinstance(error, OSError) else KeyboardInterrupt):
        write_together(contents)
    assert names(tmp_path) == ["b"] and (tmp_path / "b").read_bytes() == b"old"
    monkeypatch.undo()
    write_together(contents)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == contents


def test_no_file_is_written_where_one_is_a_folder(tmp_path):
    (tmp_path / "b").mkdir()
    with pytest.raises(UsageError, match="b is a folder; expected the name of a file to write"):
        write_together({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert names(tmp_path) == ["b"]
