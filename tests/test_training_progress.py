"""What people see of a run: numbers in their own units, and curves where matplotlib is there."""

import errno
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from backtime.tasks.language import KIND, LanguageSettings
from backtime.training.curves import draw_curves
from backtime.training.metrics import Metric
from backtime.training.progress import PlainProgress, Progress, cells, choose_progress, duration

METRICS = {level: KIND.metrics(LanguageSettings(level=level)) for level in ("char", "byte", "word")}

RECORD: dict[str, Any] = {
    "step": 20,
    "epoch": 0.125,
    "tokens": 2000,
    "seconds": 1.5,
    "loss": math.log(8),
    "val_loss": None,
    "lr": 0.002,
    "grad_norm": 0.25,
    "clipped": 0.5,
    "tokens_per_second": 123456.7,
}


def test_cells_for_people() -> None:
    shown = dict(cells(RECORD, METRICS["char"], 61.2))
    assert shown["bits/char"] == "3" and shown["clipped"] == "50%" and shown["left"] == "1:02"
    assert "val" not in shown
    validated = dict(cells({**RECORD, "val_loss": math.log(16)}, METRICS["word"], 0))
    assert validated["perplexity"] == "8" and validated["val perplexity"] == "16"
    closing = {**RECORD, "loss": None, "grad_norm": None, "tokens_per_second": None, "val_loss": 1.0}
    assert set(dict(cells(closing, METRICS["byte"], 0))) == {
        "step",
        "epoch",
        "val",
        "val bits/byte",
        "lr",
        "left",
    }


def test_other_metrics_are_shown_beside_the_loss() -> None:
    metrics = (Metric("accuracy", better="max"), Metric("loss", "nats", counted="examples"))
    record = {**RECORD, "val_loss": 1.5, "val_accuracy": 0.75}
    shown = dict(cells(record, metrics, 0))
    assert shown["examples/s"] == "123,457" and "tokens/s" not in shown
    assert shown["val accuracy"] == "0.7500" and shown["val"] == "1.5000" and shown["loss"] == "2.0794"
    assert "val accuracy" not in dict(cells({**record, "val_accuracy": None}, metrics, 0))


def test_better_is_what_the_metric_says() -> None:
    up, down = Metric("accuracy", better="max"), Metric("loss")
    for metric, good, bad in ((up, 0.9, 0.8), (down, 0.8, 0.9)):
        assert metric.is_better(good, bad) and not metric.is_better(bad, good)
        assert not metric.is_better(good, good) and not metric.is_better(math.nan, good)
        assert metric.is_better(good, None) and metric.is_better(good, math.nan)


def test_a_hopeless_perplexity_is_a_number() -> None:
    measure = METRICS["word"][0].measure
    assert measure and math.isfinite(measure.of(1e6))


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (-3, "0:00"), (59.2, "1:00"), (3723, "1:02:03")])
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_display_that_suits(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = METRICS["char"]
    assert type(choose_progress(metrics, quiet=True, as_json=True)) is Progress
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)  # a terminal, but no rich
    assert type(choose_progress(metrics, quiet=False, as_json=False)) is PlainProgress


def test_curves_are_drawn(tmp_path: Path) -> None:
    assert (
        draw_curves([RECORD, {**RECORD, "tokens": 4000, "val_loss": 2.0}], tmp_path, METRICS["char"]) is None
    )
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_curves_that_cannot_be_drawn_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "no space left" in (draw_curves([RECORD], tmp_path, METRICS["char"]) or "")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install matplotlib" in (draw_curves([RECORD], tmp_path, METRICS["char"]) or "")
    assert list(tmp_path.iterdir()) == []
