"""Output that nobody reads, that is closed or full: a run is saved, and one line says what was wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backtime.cli.main import main
from backtime.tasks import runs
from backtime.training.progress import PlainProgress

SMALL = ["--hidden-size", "4", "--layers", "1", "--seq-length", "5", "--batch-size", "2", "--log-every", "1"]
ENDLESS = [*SMALL, "--epochs", "1000000", "--validate-every", "1000"]
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a text and a model of it."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "text.txt").write_text("to be or not to be, that is the question\n" * 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(runs, "draw_curves", lambda *parts: None)
        assert main(["train", "text.txt", "--out", "model", "--quiet", "--max-steps", "2", *SMALL]) == 0
        yield folder


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of bash in which $backtime is the command; the status is that of the command in a pipe too."""
    environment = {**os.environ, "backtime": f"{sys.executable} -m backtime"}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def saved_step(run: Path) -> int:
    with (run / "last" / "state.safetensors").open("rb") as file:
        head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return int(json.loads(head["__metadata__"]["state"])["step"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "status", "words"),
    [
        ("--json | head -n 2", 141, "stopped at step"),
        ("2>&1 >/dev/null | head -n 3", 141, ""),
        pytest.param("--json > /dev/full", 2, "cannot write to standard output: No space left", marks=FULL),
        pytest.param("2> /dev/full", 2, "", marks=FULL),
    ],
)
def test_a_run_whose_output_is_lost_is_saved(
    ending: str, status: int, words: str, home: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = shell(f"$backtime train text.txt --out {run} {' '.join(ENDLESS)} {ending}", home)
    assert done.returncode == status and words in done.stderr, done
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    lines = (run / "metrics.jsonl").read_text().splitlines() if (run / "metrics.jsonl").exists() else []
    steps = [json.loads(line)["step"] for line in lines]
    assert saved_step(run) == max(steps, default=0) and (run / "best" / "model.safetensors").exists()
    assert main(["train", "--resume", str(run), "--quiet", "--max-steps", str(saved_step(run) + 2)]) == 0


@pytest.mark.slow
def test_a_terminal_that_closes_is_a_stop(home: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-m", "backtime", "train", "text.txt", "--out", str(run), *ENDLESS]
    with subprocess.Popen(words, cwd=home, stderr=subprocess.PIPE, text=True) as process:
        while not (run / "metrics.jsonl").exists() or not (run / "metrics.jsonl").read_bytes():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        _, error = process.communicate(timeout=60)
    assert (
        process.returncode == 128 + signal.SIGHUP and f"stopped at step {saved_step(run)} and saved" in error
    )


@pytest.mark.slow
def test_closed_from_the_start(home: Path, tmp_path: Path) -> None:
    """Nothing is told, nothing ends up in a file of the run; a verb that only prints says that it cannot."""
    run = tmp_path / "run"
    done = shell(f"$backtime train text.txt --out {run} --max-steps 2 {' '.join(SMALL)} >&- 2>&- <&-", home)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert b"backtime:" not in b"".join(path.read_bytes() for path in run.glob("*") if path.is_file())
    for verb in ("sample model --length 9", "evaluate model text.txt", "predict model text.txt"):
        done = shell(f"$backtime {verb} >&-", home)
        assert done.returncode == 2, done
        assert done.stderr == "backtime: standard output is closed; expected somewhere to write to\n"
    done = shell("$backtime predict model <&-", home)
    assert (done.returncode, done.stderr) == (2, "backtime: standard input is closed; expected text there\n")


@FULL
@pytest.mark.slow
@pytest.mark.parametrize(
    "words", ["--help", "sample model --length 9", "evaluate model text.txt", "predict model text.txt"]
)
def test_a_full_disk_behind_the_output_is_one_line(words: str, home: Path) -> None:
    done = shell(f"$backtime {words} > /dev/full", home)
    expected = "backtime: cannot write to standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, expected)


def test_output_that_is_lost_is_kept_in_mind_and_ends_the_run(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same in this process: the third log line cannot be written."""
    written: list[str] = []

    def lose(self: Any, text: str, file: Any) -> None:
        written.append(text)
        if len(written) == 4:
            self.lost = BrokenPipeError(32, "gone")

    monkeypatch.setattr(PlainProgress, "_print", lose)
    run = tmp_path / "run"
    assert main(["train", "text.txt", "--out", str(run), *ENDLESS]) == 141
    assert saved_step(run) == 3 and "go on with" in written[-1]
    assert (run / "best" / "model.safetensors").exists()
