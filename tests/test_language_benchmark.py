"""The benchmark of words compares nothing unless both sides compute the same."""

import argparse
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from backtime.nn import SoftmaxCrossEntropy

ROOT = Path(__file__).parents[1]
TEXT = "the cat sat on the mat .\nthe dog saw the cat .\na bird sang .\n" * 80


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    return importlib.import_module("benchmarks.word_language")


def prepared(bench: ModuleType) -> tuple[Any, Any]:
    args = argparse.Namespace(epochs=1, threads=1)
    small = {"hidden_size": 8, "embedding_size": 8, "batch_size": 4, "seq_length": 5, "grad_clip": 0.5}
    settings = bench.settings_for(args, 1, train_file="text.txt", valid_file="text.txt", **small)
    return bench.KIND.prepare(None, settings, Path("tokens"), None, print), settings


def test_both_sides_are_equal_in_float64(bench: ModuleType) -> None:
    data, settings = prepared(bench)
    assert bench.check(data, settings, 120, Path("run")) < 1e-9


@pytest.mark.parametrize("fault", ["clip", "scale", "state", "dropout", "loss"])
def test_a_difference_stops_the_comparison(
    fault: str, bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, settings = prepared(bench)
    plant(fault, bench, monkeypatch)
    with pytest.raises(SystemExit, match=r"differ by .*; nothing is compared"):
        bench.check(data, settings, 20, Path("run"))


def plant(fault: str, bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thing that the trainer does otherwise than the plain loop."""
    from backtime.training import loop

    task = importlib.import_module("backtime.tasks.language").LanguageTask
    if fault == "clip":
        clip = loop.clip_grad_norm_
        monkeypatch.setattr(loop, "clip_grad_norm_", lambda p, limit, **k: clip(p, limit * 0.999, **k))
    elif fault == "scale":
        scaled = task.__init__
        monkeypatch.setattr(
            task, "__init__", lambda self, *a: (scaled(self, *a), setattr(self, "gradient_scale", 4.99))[0]
        )
    elif fault == "state":
        monkeypatch.setattr(loop, "detached", lambda carried: None)
    elif fault == "dropout":
        own = bench.make_run

        def dropping(*args: Any) -> Any:
            run = own(*args)
            run.model.rnn.dropout = 0.01
            return run

        monkeypatch.setattr(bench, "make_run", dropping)
    else:
        forward = SoftmaxCrossEntropy.forward
        monkeypatch.setattr(
            SoftmaxCrossEntropy,
            "forward",
            lambda self, h, t: forward(self, h, t) * torch.tensor(1 + 1e-8, dtype=h.dtype),
        )


def test_all_sides_end_at_the_same_perplexity_within_rounding(bench: ModuleType) -> None:
    data, settings = prepared(bench)
    (plain, nudged, ours), seconds = bench.compare(data, settings, Path("run"))
    assert nudged == pytest.approx(plain, rel=1e-3)
    assert ours == pytest.approx(plain, rel=1e-4)
    assert len(seconds) == 3


def test_a_share_is_of_whole_lines(bench: ModuleType, tmp_path: Path) -> None:
    half = bench.first_lines(Path("text.txt"), 0.5, tmp_path / "half.txt")
    assert half.read_text() == "".join(TEXT.splitlines(keepends=True)[:120])


def test_the_table_ends_with_mean_and_deviation(bench: ModuleType) -> None:
    rows = bench.rows([[100.0, 101.0, 102.0], [104.0, 103.0, 104.0]])
    assert rows[0] == ["1", "100.00", "101.00", "102.00", "1.0200"]
    assert rows[2] == ["mean", "102.00", "102.00", "103.00", "1.0100"]
    assert rows[3][0] == "deviation" and rows[3][1] == "2.83"
