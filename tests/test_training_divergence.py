"""A run that breaks down goes back, tries again more slowly, says where it broke, and gives up in the end."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from backtime.cli.main import main
from backtime.tasks import runs
from backtime.tasks.language import LanguageTask
from backtime.training import divergence
from backtime.training.run import Run
from backtime.training.state import RunState
from backtime.training.task import Task

SIZES = ["--hidden-size", "8", "--layers", "2", "--seq-length", "5", "--batch-size", "4"]
SMALL = [*SIZES, "--log-every", "5", "--save-every", "10", "--max-steps", "40"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(runs, "draw_curves", lambda *parts: None)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on the mat and the dog sat on the cat\n" * 20)
    return path


def train(text: Path, *options: str) -> int:
    return main(["train", str(text), "--out", str(text.parent / "run"), *SMALL, *options])


def steps(text: Path) -> list[int]:
    return [
        json.loads(line)["step"] for line in (text.parent / "run" / "metrics.jsonl").read_text().splitlines()
    ]


def plant(monkeypatch: pytest.MonkeyPatch, at: int, fault: Callable[[LanguageTask, Any], Any]) -> None:
    """At training loss number ``at`` let ``fault`` have its way with the loss."""
    true_loss, calls = LanguageTask.loss, 0

    def loss(self: LanguageTask, epoch: int, step: int, carried: Any) -> Any:
        nonlocal calls
        value, after, count = true_loss(self, epoch, step, carried)
        if torch.is_grad_enabled():
            calls += 1
            if calls == at:
                value = fault(self, value)
        return value, after, count

    monkeypatch.setattr(LanguageTask, "loss", loss)


def bad_loss(task: LanguageTask, loss: torch.Tensor) -> torch.Tensor:
    return loss * math.inf


def bad_gradient(task: LanguageTask, loss: torch.Tensor) -> torch.Tensor:
    weight = dict(task.model.named_parameters())["rnn.weight_hh_l1"]
    weight.register_hook(lambda gradient: gradient * math.nan)
    return loss


def bad_weight(task: LanguageTask, loss: torch.Tensor) -> torch.Tensor:
    dict(task.model.named_parameters())["rnn.bias_ih_l0"].data[2] = math.nan
    return loss * math.nan


@pytest.mark.parametrize(
    ("fault", "words"),
    [(bad_loss, "the loss is inf"), (bad_weight, "rnn.bias_ih_l0 is not finite")],
)
def test_one_fault_costs_one_rollback(
    text: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: Any, words: str
) -> None:
    plant(monkeypatch, 17, fault)
    assert train(text) == 0
    message = next(line for line in capsys.readouterr().err.splitlines() if "diverged" in line)
    assert f"step 17: {words}" in message
    assert "back to the save of step 10" in message and "rollback 1 of 3" in message
    assert steps(text)[:8] == [5, 10, 15, 20, 25, 30, 35, 40]
    last = json.loads((text.parent / "run" / "metrics.jsonl").read_text().splitlines()[7])
    assert last["lr"] == 0.001  # half of Adam's 0.002


def test_a_broken_gradient_is_found_in_its_layer_and_ends_the_run(
    text: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(monkeypatch, 17, bad_gradient)  # the hook stays, so every attempt after it fails too
    assert train(text) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "step 17: the gradient of rnn.weight_hh_l1 is not finite" in next(
        x for x in lines if "diverged" in x
    )
    assert lines[-1].startswith("backtime: training diverged at step 11") and "gave up after 3" in lines[-1]


class Unwatched(Run):
    """As on a device that is too far away to be asked at each step."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.watch_steps = False


@pytest.mark.parametrize("at", [16, 20])
def test_where_steps_are_not_watched_the_next_log_line_or_save_notices(
    text: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at: int
) -> None:
    monkeypatch.setattr(runs, "Run", Unwatched)
    plant(monkeypatch, at, bad_loss)
    assert train(text) == 0
    message = next(line for line in capsys.readouterr().err.splitlines() if "diverged" in line)
    assert f"diverged at step {at}: " in message and "back to the save of step 10" in message
    assert steps(text)[:8] == [5, 10, 15, 20, 25, 30, 35, 40]


@pytest.mark.parametrize(
    "options", [("--optimizer", "sgd", "--lr", "1e12"), ("--lr", "1e4", "--grad-clip", "0")]
)
def test_a_huge_rate_gives_up_and_keeps_the_good_save(
    text: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    assert train(text, *options) == 2
    error = capsys.readouterr().err
    assert error.count("back to the save of step 0") == 3
    assert error.splitlines()[-1].startswith("backtime: training diverged at step ")
    assert steps(text) == []
    saved = load_file(text.parent / "run" / "last" / "state.safetensors")
    assert all(value.abs().max() < 2 for name, value in saved.items() if name.startswith("model."))


def test_a_rate_lowered_enough_is_fine(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # with gradients clipped to norm 5, steps of SGD are at most 5 lr long
    assert train(text, "--optimizer", "sgd", "--lr", "60") == 0
    error = capsys.readouterr().err
    assert 1 <= error.count("diverged at") <= 3


def test_the_save_itself_is_guarded(
    text: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The weights are spoilt after the last loss before a save was measured: only the save can see it."""

    def spoil(task: LanguageTask, loss: torch.Tensor) -> torch.Tensor:
        weight = task.model.head.weight
        loss.register_hook(lambda gradient: weight.data.mul_(1e4).sum() * 0)  # a gradient of 0: no clipping
        return loss

    plant(monkeypatch, 20, spoil)
    assert train(text) == 0
    message = next(line for line in capsys.readouterr().err.splitlines() if "diverged" in line)
    assert "step 20: the loss is" in message and "in head.weight" in message
    assert "back to the save of step 10" in message


def test_the_level_check() -> None:
    class Plain(Task):
        model = torch.nn.Linear(1, 1)

    class Strict(Plain):
        def loss_limit(self, start: float) -> float:
            return start

    task, state = Plain(), RunState(horizon=1, step=3, start_loss=4.0)  # type: ignore[abstract]
    divergence.check_level(state, 9.0, task)
    with pytest.raises(divergence.Diverged, match="step 3"):
        divergence.check_level(state, 4.1, Strict())  # type: ignore[abstract]
    for loss in (9.01, math.nan, math.inf):
        with pytest.raises(divergence.Diverged, match="step 3"):
            divergence.check_level(state, loss, task)
