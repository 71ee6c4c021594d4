"""Other libraries' models train with our layers as with torch's; a side that differs is not timed."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from backtime import nn

ROOT = Path(__file__).parents[1]
NAMES = ("RecurrentPPO", "RecurrentPPO, with reset=", "DeepAR", "tagger, LSTM", "tagger, GRU")


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


def load(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.{name}")


def test_every_job_is_tested() -> None:
    assert tuple(load("real_models").JOBS) == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_accelerated_model_trains_as_before(name: str) -> None:
    """In processes of their own, where the libraries' warnings are not ours."""
    if not load("real_models").JOBS[name].installed():
        pytest.skip("needs the extra bench-models")
    accelerate = load("accelerate")
    sides = {side: accelerate.run(name, side, "compare", 1, 1) for side in accelerate.SIDES}
    accelerate.check(name, sides)
    assert "-> backtime.nn" in sides["backtime"]["report"]


@pytest.mark.parametrize(
    ("side", "key", "message"),
    [
        ("backtime", "losses", "differ, losses by 1e-04"),
        ("backtime", "gradients", "gradients by 1e-04"),
        ("restored", "losses", "does not train as before"),
        ("restored", "gradients", "does not train as before"),
    ],
)
def test_other_training_is_refused(side: str, key: str, message: str) -> None:
    accelerate = load("accelerate")
    found: dict[str, dict[str, Any]]
    found = {name: {"losses": [4.0, 3.9], "gradients": [[1.0, 0.5]]} for name in accelerate.SIDES}
    found = json.loads(json.dumps(found))
    accelerate.check("job", found)
    numbers = found[side][key] if key == "losses" else found[side][key][0]
    numbers[0] *= 1.0001
    with pytest.raises(SystemExit, match=message):
        accelerate.check("job", found)


def test_row_says_what_the_layers_can_give() -> None:
    layers = [{"forward": 1.0, "backward": 2.0, "calls": 7.0}, {"forward": 0.5, "backward": 0.5}]
    row = load("accelerate").row("job", 4.0, 2.0, *layers)
    assert row == ["job", "4.00", "2.00", "2.00", "75%", "3.00", "4.00", "7"]


class Clock:
    """Shows what it was told: no machine is busy enough to change it."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


CLOCK = Clock()


class Slow(torch.autograd.Function):
    """Takes its time, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        CLOCK.now += 1
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *dy: torch.Tensor) -> torch.Tensor:
        CLOCK.now += 100
        return dy[0]


class Inner(nn.GRU):
    """A layer with a slow part inside."""

    def forward(self, *args: Any, **options: Any) -> Any:
        y, h = super().forward(*args, **options)
        return Slow.apply(y), h


@pytest.mark.parametrize("unused", [False, True])
def test_only_the_time_inside_a_layer_counts(unused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load("inside"), "time", CLOCK)
    x = Slow.apply(torch.randn(3, 2, 4, requires_grad=True))
    model = torch.nn.Sequential(Inner(4, 4), torch.nn.Identity())
    inside = load("inside").Inside(model)
    if unused:
        model[0](x)  # its graph is never run
        x = x + 0
    y = Slow.apply(model[0](x)[0])
    y.sum().backward()
    counts = inside.counts()
    assert counts == {"calls": 1 + unused, "forward": 1 + unused, "backward": 100}


def test_missing_packages_are_named() -> None:
    jobs = load("real_models").JOBS
    if all(job.installed() for job in jobs.values()):
        pytest.skip("all are installed")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.accelerate", "--quick"], cwd=ROOT, stderr=-1, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "bench-models" in done.stderr
