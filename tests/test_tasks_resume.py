"""A resume looks before it touches: other data, lost data, data from standard input, a run that has ended."""

import io
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from backtime.training import loop
from backtime.training.run_folder import RunFolder
from backtime.training.signals import StopSignals
from shell import backtime

SMALL = ["--hidden-size", "4", "--layers", "1", "--seq-length", "5", "--batch-size", "2", "--max-steps", "3"]
TEXT = "to be or not to be, that is the question\n" * 20


@pytest.fixture(autouse=True)
def quick(quick_runs: None) -> None:
    Path("text.txt").write_text(TEXT)


def tree(folder: Path = Path("run")) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def resumed(steps: int, *words: str, status: int = 0) -> None:
    backtime("train", *words, "--resume", "run", "--max-steps", steps, status=status)


def change(text: str) -> None:
    """Another text, with a time of its own."""
    Path("text.txt").write_text(text)
    os.utime("text.txt", (1, 1))


@pytest.mark.parametrize("changed", [TEXT + "question", TEXT.replace("be", "eb", 1), TEXT + "Δ", ""])
def test_a_text_that_changed_leaves_every_file_as_it_was(changed: str, capsys: Any) -> None:
    backtime("train", "text.txt", "--out", "run", *SMALL)
    before = tree()
    change(changed)
    resumed(6, status=2)
    assert tree() == before and list(Path("run").glob(".check*")) == []
    change(TEXT)
    resumed(6)
    assert (
        json.loads(Path("run/tokens.json").read_text())["sources"]
        != json.loads(before["tokens.json"])["sources"]
    )


def test_without_the_text_the_run_folder_is_enough(capsys: Any) -> None:
    backtime("train", "text.txt", "--out", "whole", *SMALL[:-1], 9)
    backtime("train", "text.txt", "--out", "run", *SMALL)
    Path("text.txt").unlink()
    capsys.readouterr()
    resumed(9)
    assert "text.txt is gone; going on with its tokens in the run folder" in capsys.readouterr().err
    for name in ("last/model.safetensors", "best/model.safetensors"):
        assert Path("run", name).read_bytes() == Path("whole", name).read_bytes()
    Path("run/tokens.bin").unlink()
    resumed(12, status=2)
    assert "text.txt" in capsys.readouterr().err


def test_the_default_text_comes_from_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another Python has other sources: a resume after an update goes on all the same."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "a.py").write_text(TEXT)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(library))
    backtime("train", "--out", "run", *SMALL)
    (library / "a.py").write_text("import this\n" * 100)
    resumed(6)


def test_tokens_that_were_altered_are_made_again(capsys: Any) -> None:
    backtime("train", "text.txt", "--out", "run", *SMALL)
    good = Path("run/tokens.bin").read_bytes()
    Path("run/tokens.bin").write_bytes(bytes([good[0] ^ 1]) + good[1:])
    resumed(6)
    assert Path("run/tokens.bin").read_bytes() == good
    Path("run/tokens.bin").write_bytes(bytes([good[0] ^ 1]) + good[1:])
    Path("text.txt").unlink()
    resumed(9, status=2)
    assert "text.txt" in capsys.readouterr().err


def test_where_files_have_one_name_only_they_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: str) -> None:
        raise PermissionError(1, "no links here")

    backtime("train", "text.txt", "--out", "run", *SMALL)
    Path("text.txt").unlink()
    monkeypatch.setattr(os, "link", refuse)
    resumed(6)


def test_a_text_from_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def feed(text: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))

    backtime("train", "text.txt", "--out", "file", *SMALL)
    feed(TEXT.encode())
    backtime("train", "-", "--out", "run", *SMALL)
    assert tree()["best/model.safetensors"] == tree(Path("file"))["best/model.safetensors"]
    assert json.loads(Path("run/config.json").read_text())["data"] == "-"
    resumed(6)
    shutil.rmtree("file")
    feed(TEXT.encode())
    backtime("evaluate", "run", "-", "--json")
    backtime("evaluate", "run", "text.txt", "--json")
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first == second
    feed(b"")
    backtime("train", "-", *SMALL, status=2)
    assert "standard input is empty" in capsys.readouterr().err and not Path("runs").exists()
    feed(b"\xff broken")
    backtime("train", "-", *SMALL, status=2)
    assert "standard input is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--validation-fraction", 0], ["--validate-every", 3]])
def test_a_resume_with_nothing_to_do_changes_nothing(options: list[Any], capsys: Any) -> None:
    backtime("train", "text.txt", "--out", "run", *SMALL, *options)
    summary = capsys.readouterr().out
    before = tree()
    for words in ([], ["--max-steps", 2], ["--epochs", 1, "--max-steps", 1]):
        backtime("train", "--resume", "run", *words)
        out, err = capsys.readouterr()
        assert "nothing to do" in err and out == summary
        assert tree() == before


def test_a_run_that_was_killed_at_its_very_end_is_brought_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*parts: Any) -> None:
        raise KeyboardInterrupt

    backtime("train", "text.txt", "--out", "whole", *SMALL)
    with monkeypatch.context() as patch:
        patch.setattr("backtime.training.saving.close", killed)
        backtime("train", "text.txt", "--out", "run", *SMALL, status=130)
    backtime("train", "--resume", "run")
    assert tree()["best/model.safetensors"] == tree(Path("whole"))["best/model.safetensors"]


@pytest.mark.parametrize("place", ["create", "__init__"])
def test_a_signal_while_the_folder_is_locked_leaves_none(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Where the lock is taken and what frees it is not yet reached."""
    true = getattr(RunFolder, place)

    def interrupted(*parts: Any) -> Any:
        made = true(*parts)
        signal.raise_signal(signal.SIGINT)
        return made

    monkeypatch.setattr(RunFolder, place, interrupted)
    backtime("train", "text.txt", "--out", "new/run", *SMALL, status=130)
    assert capsys.readouterr().err == "backtime: interrupted\n" and not Path("new").exists()
    monkeypatch.undo()


def test_signals_are_held_then_end_it_then_are_waited_for() -> None:
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGHUP)
        assert signals.received == signal.SIGHUP
        with pytest.raises(KeyboardInterrupt):
            signals.release()
        signal.raise_signal(signal.SIGINT)  # held again, while things are put in order
    with StopSignals() as signals:
        signals.release()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    with StopSignals() as signals:
        signals.release()
        signals.patient = True
        signal.raise_signal(signal.SIGTERM)
        assert signals.received == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with StopSignals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert signals.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def saves_of(monkeypatch: pytest.MonkeyPatch, *options: Any) -> list[int]:
    """The steps at which a run of six steps is saved, when each step takes a minute."""
    steps: list[int] = []
    true = loop.saving.save

    def minute(run: Any) -> None:
        run.state.seconds = 60.0 * run.state.step

    with monkeypatch.context() as patch:
        patch.setattr("backtime.training.run.Run.tick", minute)
        patch.setattr(loop.saving, "save", lambda run: (steps.append(run.state.step), true(run)))
        shutil.rmtree("run", ignore_errors=True)
        backtime("train", "text.txt", "--out", "run", *SMALL[:-1], 6, *options)
    return steps


def test_saves_by_time_as_well_as_by_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    assert saves_of(monkeypatch, "--save-every", 1000) == [0, 5, 6]
    assert saves_of(monkeypatch, "--save-every", 1000, "--save-minutes", 2) == [0, 2, 4, 6]
    assert saves_of(monkeypatch, "--save-every", 3, "--save-minutes", 2) == [0, 2, 3, 5, 6]
    assert saves_of(monkeypatch, "--save-every", 1000, "--save-minutes", 0) == [0, 6]
