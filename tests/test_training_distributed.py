"""Several processes train one model: the losses of one, exact restarts, one line where it cannot be."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed as dist

from backtime.data.batching.buckets import Buckets
from backtime.data.batching.share import Share, is_idle, take
from backtime.data.batching.streams import Streams
from backtime.errors import UsageError
from backtime.training.meeting import fresh

pytestmark = pytest.mark.alone

TEXT = "it was the best of times, it was the worst of times, it was the age of wisdom\n" * 60
LANGUAGE = [
    "--hidden-size",
    "8",
    "--layers",
    "2",
    "--seq-length",
    "8",
    "--batch-size",
    "4",
    "--log-every",
    "1",
]


@pytest.fixture
def alone() -> Any:
    yield
    take(0, 1)


def test_the_shares_of_streams_are_its_columns(alone: Any) -> None:
    tokens = np.arange(200)
    whole = Streams(tokens, 4, 6)
    parts = []
    for number in range(2):
        take(number, 2)
        parts.append(Streams(tokens, 4, 6))
    for k in range(len(whole)):
        for side in (0, 1):
            both = np.concatenate([part.chunk(k)[side] for part in parts], 1)
            assert np.array_equal(both, whole.chunk(k)[side])
    take(0, 3)
    with pytest.raises(UsageError, match="--batch-size 4 does not divide by 3 processes"):
        Streams(tokens, 4, 6)
    assert Streams(tokens, 4, 6, exact=True).chunk(0)[0].shape[1] == 4  # measuring reads everything


def test_the_shares_of_a_batch_are_the_batch_and_a_stand_in_does_not_count(alone: Any) -> None:
    lengths = [5, 3, 9, 2, 7, 4, 1]
    whole = Buckets(lengths, 5, 0)
    for k in range(len(whole)):
        batch, found = whole.batch(0, k), []
        for number in range(4):
            take(number, 4)
            own = Buckets(lengths, 5, 0).batch(0, k)
            assert (np.diff([lengths[n] for n in own]) <= 0).all()
            assert is_idle() == (number >= len(batch))
            found += [] if is_idle() else own.tolist()
        take(0, 1)
        assert sorted(found) == sorted(batch.tolist())
    assert Share(3, 4).records(np.array([8, 9])).tolist() == [8]


@pytest.mark.parametrize("late", [0, 1, 2])
def test_a_meeting_has_nothing_of_an_earlier_one(late: int) -> None:
    """Three processes meet three times in one store; the last time one of them comes late."""
    store = dist.HashStore()
    found: list[list[bytes]] = []
    for again in range(3):
        with ThreadPoolExecutor(3) as pool:

            def meet(number: int, again: int = again) -> bytes:
                if again == 2 and number == late:
                    time.sleep(0.3)
                own = fresh(store, number, 3, timedelta(seconds=20))
                assert number or not own.check(["address"])
                if number == 0:
                    own.set("address", str(again))
                return own.get("address")

            found.append(list(pool.map(meet, range(3))))
    assert found == [[str(again).encode()] * 3 for again in range(3)]


def test_who_waits_in_vain_is_told() -> None:
    store = dist.HashStore()
    for number in (0, 1):
        with pytest.raises(TimeoutError, match="the other processes did not come"):
            fresh(store, number, 2, timedelta(seconds=0.2))


def torchrun(count: int, words: list[str], folder: Path, restarts: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command += [f"--max-restarts={restarts}", "--monitor-interval=0.2", "-m", "backtime", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error[-3000:]
    return out


def one(words: list[str], folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "backtime", *words], cwd=folder, check=True, capture_output=True)


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def prepared(folder: Path) -> Path:
    (folder / "text.txt").write_text(TEXT)
    rows = [f"{'very ' * (n % 5)}{word} film,{word}" for n in range(9) for word in ("good", "bad")]
    (folder / "reviews.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    return folder


TASKS = {
    "language": ["train", "text.txt", *LANGUAGE],
    "classify": [
        *("train", "reviews.csv", "--task", "classify", "--hidden-size", "6", "--embedding-size", "5"),
        *("--batch-size", "5", "--dropout", "0", "--word-dropout", "0", "--log-every", "1"),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "count", "steps"), [("language", 2, 100), ("language", 4, 30), ("classify", 4, 40)]
)
def test_several_processes_give_the_losses_of_one(task: str, count: int, steps: int, tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    words = [*TASKS[task], "--max-steps", str(steps), "--epochs", "50", "--quiet"]
    one([*words, "--out", "one"], folder)
    finished(torchrun(count, [*words, "--out", "many"], folder))
    alone, together = losses(folder / "one"), losses(folder / "many")
    assert len(alone) == len(together) >= steps  # the last line may be of the validation that ends a run
    np.testing.assert_allclose(together[:steps], alone[:steps], rtol=1e-6 if task == "language" else 2e-6)
    assert (folder / "many" / "best" / "model.safetensors").is_file()


@pytest.mark.slow
def test_two_processes_quickly_and_a_resume_with_one(tmp_path: Path) -> None:
    """The save of two holds the state of all streams: one process goes on with it."""
    folder = prepared(tmp_path)
    words = [*TASKS["language"], "--quiet", "--epochs", "9"]
    one([*words, "--max-steps", "20", "--out", "one"], folder)
    finished(torchrun(2, [*words, "--max-steps", "12", "--save-every", "12", "--out", "many"], folder))
    one(["train", "--resume", "many", "--max-steps", "20", "--quiet"], folder)
    np.testing.assert_allclose(losses(folder / "many")[:20], losses(folder / "one")[:20], rtol=1e-6)
    process = torchrun(3, ["train", "--resume", "many", "--max-steps", "22"], folder)
    _, error = process.communicate(timeout=120)
    assert process.returncode and "--batch-size 4 does not divide by 3 processes" in error


def workers(parent: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in found.split()]


@pytest.mark.slow
@pytest.mark.parametrize("again", range(2))  # which of the two is killed
def test_a_killed_worker_leaves_no_trace(again: int, tmp_path: Path) -> None:
    """kill -9 of one worker: all start again from the last save, and end as an undisturbed run."""
    folder = prepared(tmp_path)
    words = [*TASKS["language"], "--quiet", "--dropout", "0.3", "--epochs", "40", "--max-steps", "400"]
    words += ["--save-every", "20", "--validate-every", "50"]
    finished(torchrun(2, [*words, "--out", "calm"], folder))
    process = torchrun(2, [*words, "--out", "killed"], folder, restarts=3)
    log, deadline = folder / "killed" / "metrics.jsonl", time.monotonic() + 120
    while not (log.exists() and len(log.read_bytes().splitlines()) > 60) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(workers(process.pid)[again % 2], signal.SIGKILL)
    finished(process)
    assert losses(folder / "killed") == losses(folder / "calm")
    ends = [(folder / run / "last" / "model.safetensors").read_bytes() for run in ("calm", "killed")]
    assert ends[0] == ends[1]


@pytest.mark.slow
def test_what_several_processes_cannot_do_is_one_line(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    for words, line in (
        (TASKS["language"], "torchrun needs --out FOLDER"),
        (["train", "-", "--out", "run"], "standard input cannot be read by several processes"),
    ):
        process = torchrun(2, words, folder)
        _, error = process.communicate(timeout=120)
        assert process.returncode and line in error
    assert sorted(path.name for path in folder.iterdir()) == ["reviews.csv", "text.txt"]
