"""A run stopped anywhere and resumed equals, bit for bit, one that never stopped."""

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backtime.tasks import runs
from backtime.training import checkpoint, saving
from backtime.training.carried import with_tensors
from backtime.training.state import RunState
from shell import backtime

CLOCK = ("seconds", "tokens_per_second")  # what may differ: how long it took
SIZES = ["--hidden-size", "8", "--layers", "2", "--seq-length", "5", "--batch-size", "4"]
SMALL = [*SIZES, "--log-every", "7", "--validate-every", "13"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(runs, "draw_curves", lambda *parts: None)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    letters = random.Random(5)
    path.write_text("".join(letters.choice("abcde \n") * letters.randint(1, 2) for _ in range(600)))
    return path


def train(text: Path, out: Path, stops: tuple[int, ...], steps: int, *options: str) -> None:
    """Train to ``steps`` steps, stopping at each of ``stops`` on the way."""
    first, *rest = (*stops, steps)
    backtime("train", text, "--out", out, "--quiet", "--max-steps", first, *SMALL, *options)
    for stop in rest:
        backtime("train", "--resume", out, "--quiet", "--max-steps", stop)


def metrics(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in CLOCK} for line in lines]


def difference(one: Path, other: Path) -> str:
    """The first thing in which two runs differ; empty when they are the same."""
    if metrics(one) != metrics(other):
        return "metrics"
    for name in ("best/model.safetensors", "last/model.safetensors"):
        if (one / name).read_bytes() != (other / name).read_bytes():
            return name
    first, second = (load_file(path / "last" / "state.safetensors") for path in (one, other))
    if first.keys() != second.keys():
        return "names of tensors"
    return next((name for name in first if not torch.equal(first[name], second[name])), "")


CASES = {
    "adam": ("--optimizer", "adam"),
    "adamw cosine": (
        "--optimizer",
        "adamw",
        "--schedule",
        "cosine",
        "--warmup",
        "9",
        "--weight-decay",
        "0.1",
    ),
    "rmsprop exponential": ("--optimizer", "rmsprop", "--schedule", "exponential", "--epochs", "20"),
    "sgd plateau": ("--optimizer", "sgd", "--schedule", "plateau", "--lr", "0.1", "--validate-every", "2"),
    "dropout": ("--dropout", "0.4"),
    "embedding": ("--embedding-size", "8", "--tie-weights", "--dropout", "0.2"),
    "gru": ("--cell", "gru", "--dropout", "0.1", "--batch-size", "9", "--save-every", "4"),
    "rnn": ("--cell", "rnn", "--grad-clip", "0.05"),
    "word": ("--level", "word", "--vocabulary-size", "9", "--batch-size", "2", "--seq-length", "2"),
    "no validation": ("--validation-fraction", "0", "--dropout", "0.2"),
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_a_resumed_run_is_the_run_that_never_stopped(
    text: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    # 60 steps are more than an epoch; the stops fall between log lines, on one, and just after an epoch's end
    train(text, tmp_path / "whole", (), 60, *options)
    train(text, tmp_path / "parts", (1, 14, 44, 59), 60, *options)
    assert difference(tmp_path / "whole", tmp_path / "parts") == ""


def test_exponential_decay_goes_on_where_it_was(text: Path, tmp_path: Path) -> None:
    options = ("--schedule", "exponential", "--seq-length", "20", "--batch-size", "10")  # 4 steps an epoch
    train(text, tmp_path / "whole", (), 60, "--epochs", "20", *options)
    train(text, tmp_path / "parts", (41, 47), 60, "--epochs", "20", *options)
    assert difference(tmp_path / "whole", tmp_path / "parts") == ""
    assert len({line["lr"] for line in metrics(tmp_path / "whole")}) > 2


def test_patience_counts_on(text: Path, tmp_path: Path) -> None:
    options = ("--patience", "3", "--validate-every", "2", "--lr", "0.3", "--epochs", "99")
    train(text, tmp_path / "whole", (), 10_000, *options)
    end = metrics(tmp_path / "whole")[-1]["step"]
    assert 6 < end < 10_000
    train(text, tmp_path / "parts", (end - 3, end - 1), 10_000, *options)
    assert [line["step"] for line in metrics(tmp_path / "parts")] == [
        line["step"] for line in metrics(tmp_path / "whole")
    ]
    assert difference(tmp_path / "whole", tmp_path / "parts") == ""


def test_epochs_can_be_extended(text: Path, tmp_path: Path) -> None:
    for out, epochs in (("whole", 3), ("parts", 1)):
        backtime("train", text, "--out", tmp_path / out, "--quiet", "--epochs", epochs, *SMALL)
    backtime("train", "--resume", tmp_path / "parts", "--quiet", "--epochs", 3)
    assert difference(tmp_path / "whole", tmp_path / "parts") == ""


@pytest.mark.parametrize("planted", [False, True])
def test_the_best_model_of_a_stop_does_not_outlive_the_resume(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    # at this rate the loss is better at the stop of step 53 than at the validations of steps 50 and 100
    options = ("--lr", "0.5", "--validate-every", "50", "--validation-fraction", "0.2")
    train(text, tmp_path / "whole", (), 100, *options)
    if planted:
        monkeypatch.setattr(saving, "resume", saving.load)
    train(text, tmp_path / "parts", (3, 53), 100, *options)
    assert (difference(tmp_path / "whole", tmp_path / "parts") == "") is not planted


def forget_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    true_load = checkpoint.load

    def load(path: Path, model: Any, optimiser: Any, carried: Any) -> Any:
        state, loaded = true_load(path, model, optimiser, carried)
        count = 2 if isinstance(loaded, tuple) else 1
        return state, with_tensors(
            loaded, [torch.zeros_like(t) for t in (loaded if count == 2 else [loaded])]
        )

    monkeypatch.setattr(checkpoint, "load", load)


def forget_random(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_restore_random", lambda tensors, values: None)


def forget_optimiser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.optim.Adam, "load_state_dict", lambda self, state: None)


def forget_metrics_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backtime.training.run_folder.RunFolder.keep_metrics", lambda self, lines: None)


@pytest.mark.parametrize("fault", [forget_carried, forget_random, forget_optimiser, forget_metrics_cut])
def test_the_comparison_sees_a_planted_fault(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    train(text, tmp_path / "whole", (), 30, "--dropout", "0.3")
    fault(monkeypatch)
    train(text, tmp_path / "parts", (17,), 30, "--dropout", "0.3")
    assert difference(tmp_path / "whole", tmp_path / "parts") != ""


def test_all_random_states_are_restored(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    optimiser = torch.optim.Adam(model.parameters())
    checkpoint.save(tmp_path / "s", model, optimiser, None, RunState(horizon=1))

    def draws() -> tuple[float, ...]:
        return random.random(), float(np.random.random()), float(torch.rand(()))

    after = draws()
    assert draws() != after
    checkpoint.load(tmp_path / "s", model, optimiser, None)
    assert draws() == after


def test_the_clock_does_not_touch_the_arithmetic(text: Path, tmp_path: Path) -> None:
    train(text, tmp_path / "whole", (), 40)
    backtime("train", text, "--out", tmp_path / "timed", "--quiet", "--minutes", "0.0001", *SMALL)
    assert metrics(tmp_path / "timed")[-1]["step"] < 40
    backtime("train", "--resume", tmp_path / "timed", "--quiet", "--minutes", "60", "--max-steps", "40")
    assert difference(tmp_path / "whole", tmp_path / "timed") == ""
