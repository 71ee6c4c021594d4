"""``backtime train`` as a user meets it: in a process of its own, interrupted, killed, on a full disk."""

import contextlib
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from backtime.cli.main import main
from backtime.tasks import runs

SMALL = ["--hidden-size", "8", "--layers", "1", "--seq-length", "5", "--batch-size", "4", "--log-every", "10"]
LONG = [*SMALL, "--epochs", "100000", "--validate-every", "50"]
CLOCK = ("seconds", "tokens_per_second")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "my text.txt"
    letters = random.Random(3)
    path.write_text("".join(letters.choice("abcde \n") * letters.randint(1, 2) for _ in range(600)))
    return path


def command(*words: Any) -> list[str]:
    return [sys.executable, "-m", "backtime", *(str(word) for word in words)]


def backtime(*words: Any, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which must succeed."""
    done = subprocess.run(command(*words), cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a command in this process, for what does not depend on a process: quicker, and without curves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "draw_curves", lambda *parts: None)

    def run(*words: Any, status: int = 0) -> None:
        assert main([str(word) for word in words]) == status

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command that runs beside the test; what is left of it at the end is killed."""
    with contextlib.ExitStack() as stack:

        def begin(*words: Any) -> subprocess.Popen[str]:
            pipe = subprocess.PIPE
            process = subprocess.Popen(command(*words), cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield begin


def wait_for_lines(run: Path, lines: int, process: subprocess.Popen[str]) -> None:
    """Until metrics.jsonl has so many lines."""
    deadline = time.monotonic() + 30
    while not (run / "metrics.jsonl").exists() or (run / "metrics.jsonl").read_bytes().count(b"\n") < lines:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def metrics(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in CLOCK} for line in lines]


def last_step(run: Path) -> int:
    with (run / "last" / "state.safetensors").open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return int(json.loads(json.loads(file.read(size))["__metadata__"]["state"])["step"])


def assert_same(one: Path, other: Path) -> None:
    assert metrics(one) == metrics(other)
    first, second = (load_file(run / "last" / "state.safetensors") for run in (one, other))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (one / "best/model.safetensors").read_bytes() == (other / "best/model.safetensors").read_bytes()


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The error of a command that failed: one line, and nothing else anywhere."""
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and error.startswith("backtime: "), (out, error)
    return error


@pytest.mark.slow
def test_a_run_from_start_to_end(text: Path, tmp_path: Path, here: Any) -> None:
    done = backtime("train", text, *SMALL, "--epochs", 2, "--lr", 0.02, cwd=tmp_path)
    run = tmp_path / "runs" / "my-text-lstm-1"
    assert {path.name for path in run.iterdir()} >= {
        "config.json",
        "vocabulary.json",
        "last",
        "best",
        "curves.svg",
    }
    fields = "step epoch tokens seconds loss val_loss lr grad_norm clipped tokens_per_second"
    assert " ".join(json.loads((run / "metrics.jsonl").read_text().splitlines()[0])) == fields
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["val_loss"] is not None] == [
        lines[-1]["step"] // 2,
        lines[-1]["step"],
    ]
    assert lines[-1]["epoch"] == 2.0 and lines[-1]["tokens"] == 20 * lines[-1]["step"]
    assert lines[-1]["val_loss"] < lines[0]["loss"] < 2.1  # ln 7 = 1.95 is knowing nothing
    assert done.stdout.splitlines()[-1] == "sample  backtime sample runs/my-text-lstm-1"
    assert "bits/char" in done.stderr and "Traceback" not in done.stderr
    here("train", text, *SMALL, "--epochs", 1, "--quiet")
    assert (tmp_path / "runs" / "my-text-lstm-2" / "config.json").exists()


def test_quiet_and_json(text: Path, tmp_path: Path, here: Any, capsys: pytest.CaptureFixture[str]) -> None:
    here("train", text, *SMALL, "--max-steps", 20, "--quiet")
    assert capsys.readouterr() == ("", "")
    here("train", text, *SMALL, "--max-steps", 20, "--json")
    *lines, summary = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [line["step"] for line in lines] == [10, 20, 20]
    assert summary["step"] == 20 and summary["stopped_by"] == "max-steps" and summary["best_val_loss"] > 0
    assert (tmp_path / summary["model"]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_saves_and_says_how_to_go_on(
    text: Path, tmp_path: Path, number: signal.Signals, start: Any, here: Any
) -> None:
    run = tmp_path / "run"
    process = start("train", text, "--out", run, *LONG)
    wait_for_lines(run, 12, process)
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert error.splitlines()[-1].endswith(f"go on with: backtime train --resume {run}")
    assert "Traceback" not in error and (run / "curves.svg").exists()
    stopped = last_step(run)
    assert f"stopped at step {stopped} and saved" in error
    goal = stopped + 33
    here("train", "--resume", run, "--max-steps", goal)
    here("train", text, "--out", tmp_path / "whole", *LONG, "--max-steps", goal)
    assert_same(run, tmp_path / "whole")


@pytest.mark.slow
def test_the_second_signal_ends_it_at_once(text: Path, tmp_path: Path, start: Any) -> None:
    run = tmp_path / "run"
    slow = ["--hidden-size", 1024, "--seq-length", 50, "--batch-size", 12, "--log-every", 1]
    process = start("train", text, "--out", run, *slow)
    wait_for_lines(run, 1, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in error
    assert last_step(run) >= 0


@pytest.mark.slow
def test_an_interrupt_while_starting_leaves_nothing(tmp_path: Path, start: Any) -> None:
    big = tmp_path / "big.txt"
    big.write_text("many words make a long text\n" * 1_000_000)
    process = start("train", big, "--level", "word", "--out", tmp_path / "a" / "run")
    while not (tmp_path / "a" / "run" / ".lock").exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (130, "backtime: interrupted\n")
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed(text: Path, tmp_path: Path, start: Any, here: Any) -> None:
    run, moments = tmp_path / "run", random.Random(11)
    process = start("train", text, "--out", run, *LONG, "--save-every", 7, "--dropout", 0.3)
    wait_for_lines(run, 3, process)
    for _ in range(3):
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        process.communicate()
        before = last_step(run)
        process = start("train", "--resume", run)
        wait_for_lines(run, before // 10 + 4, process)
    process.kill()
    process.communicate()
    goal = last_step(run) + 5
    here("train", "--resume", run, "--max-steps", goal)
    here(
        "train",
        text,
        "--out",
        tmp_path / "whole",
        *LONG,
        "--save-every",
        7,
        "--dropout",
        0.3,
        "--max-steps",
        goal,
    )
    assert_same(run, tmp_path / "whole")
    assert not list(run.rglob("*.tmp"))


@pytest.mark.slow
def test_two_runs_in_one_folder(text: Path, tmp_path: Path, start: Any, here: Any, capsys: Any) -> None:
    run = tmp_path / "run"
    process = start("train", text, "--out", run, *LONG)
    wait_for_lines(run, 1, process)
    capsys.readouterr()
    for words in (("train", "--resume", run), ("train", text, "--out", run, *SMALL)):
        here(*words, status=2)
        assert "in use" in one_line(capsys)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    saved = (run / "last" / "state.safetensors").read_bytes()
    here("train", text, "--out", run, *SMALL, status=2)
    error = one_line(capsys)
    assert "holds a run already" in error and f"--resume {run}" in error
    assert (run / "last" / "state.safetensors").read_bytes() == saved


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk(text: Path, tmp_path: Path, small_disk: Path, start: Any, here: Any) -> None:
    run = small_disk / "run"
    process = start("train", text, "--out", run, *LONG)
    wait_for_lines(run, 8, process)
    with (small_disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while process.poll() is None:
            file.write(b"x" * 4096)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 2 and "Traceback" not in error
    assert "no space left on device" in error.splitlines()[-1].lower() and str(run) in error.splitlines()[-1]
    saved = last_step(run)
    (small_disk / "filler").unlink()
    here("train", "--resume", run, "--max-steps", saved + 60)
    here("train", text, "--out", tmp_path / "whole", *LONG, "--max-steps", saved + 60)
    assert_same(run, tmp_path / "whole")


@pytest.mark.slow
def test_a_live_display_on_a_terminal(text: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    words = command("train", text, *SMALL, "--epochs", 2)
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    process = subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other side has closed the terminal
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and output.startswith("run     runs/")
    assert b"\x1b[?25h" in shown  # the cursor is given back
    for name in (b"step", b"loss", b"bits/char", b"val", b"tokens/s", b"norm", b"clipped", b"lr", b"left"):
        assert name in shown
