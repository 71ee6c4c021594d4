"""The benchmarks: their tables and plots say what was measured, on as many cores as they say."""

import importlib
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from backtime import kernels
from cases import engine_or_skip

ROOT = Path(__file__).parents[1]
TIMES = {"torch": 4e-3, "jax": 3e-3, "onnx": 2e-3, "kernels": 1e-3, "nn": 2.5e-3}


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


def load(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.{name}")


def test_the_grid_measures_the_shapes_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = load("engine_grid")
    monkeypatch.setattr(grid, "make_sides", lambda *_: {"inference": {}})
    monkeypatch.setattr(grid.common, "medians", lambda *_: TIMES)
    monkeypatch.setattr(grid, "peak_gflops", lambda *_: 100.0)
    words = ["engine_grid", "--work", "--cells", "lstm", "--threads", "1", "--shapes", "1,3,8", "2,4,5"]
    monkeypatch.setattr("sys.argv", words)
    grid.main()
    assert list(json.loads(capsys.readouterr().out)["times"]["inference"]) == ["lstm 1,3,8", "lstm 2,4,5"]


@pytest.mark.parametrize("text", ["1,2", "1,2,3,4", "1,x,3", "0,2,3", "1,-2,3", ""])
def test_the_grid_refuses_what_is_no_shape_in_one_line(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["engine_grid", "--shapes", text])
    with pytest.raises(SystemExit):
        load("engine_grid").main()
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(f"argument --shapes: expected B,T,H, three numbers from 1 on; got {text!r}")
    )


def test_row_of_the_grid_names_the_best_peer() -> None:
    row = load("grid_tables").row("gru 2,5,10", "training", TIMES, peak=0.1)
    # 3 passes x 2 flops x 3 gates x H x 2 H x B x T = 36,000 flops in 1 ms: 0.036 GFLOP/s of 0.1
    assert row == ["gru 2,5,10", "4", "3", "2", "1", "2.5", "0", "36%", "onnx", "2.00", "0.80"]


def test_tables_of_the_grid_count_where_ours_is_ahead() -> None:
    lost = {"torch": 1e-3, "kernels": 2e-3, "nn": 2e-3}
    runs = [{"threads": n, "peak": 100.0, "times": {"training": {"rnn 1,1,8": TIMES}}} for n in (1, 2)]
    runs[1]["times"]["training"] = {"rnn 1,1,8": TIMES, "rnn 2,1,8": lost}
    text = load("grid_tables").tables(runs)
    assert "**training, one thread**, peak 100 GFLOP/s; ahead of every peer at 1 of 1 points\n" in text
    assert (
        "2 threads**, peak 100 GFLOP/s; ahead of every peer at 1 of 2 points, behind at rnn 2,1,8\n" in text
    )
    assert "|       - |" in text  # a side that did not run


def test_plots_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plots = load("plots")
    points = {"lstm 1,100,32": TIMES, "gru 1,100,32": {"torch": 1e-3, "kernels": 2e-3}}
    runs = [{"threads": n, "peak": 100.0, "times": {"training": points, "inference": points}} for n in (1, 2)]
    each = {letter: {10: {"torch": 2.0, "nn": 1.0}, 100: {"torch": 2.0, "nn": 1.0}} for letter in "TV"}
    found = plots.draw_grid(runs, tmp_path) + plots.draw_growth(each, {"T": "ns", "V": "ps"}, tmp_path)
    assert [path.name for path in found] == ["grid.svg", "grid.png", "growth.svg", "growth.png"]
    text = found[0].read_text()
    assert plots.AHEAD in text and plots.BEHIND in text


class Clock:
    """Goes on by what is slept, and by nothing else."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_medians_come_of_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    common, order, clock = load("common"), [], Clock()
    monkeypatch.setattr(common, "time", clock)

    def side(name: str, seconds: float) -> Any:
        return lambda: (order.append(name), clock.sleep(seconds))

    found = common.medians({"long": side("long", 0.25), "short": side("short", 0.0625)}, seconds=0.01)
    assert found == pytest.approx({"long": 0.25, "short": 0.0625})
    assert order.count("long") == 4  # one that finds out how long it is, and a turn of one call in each round
    assert order[:2] == ["long", "short"] and order[2] == "long" and order[6] == "long"


def test_results_that_differ_are_refused() -> None:
    agree, a = load("common").agree, np.array([1.0, -2.0])
    agree("it", [a], [a * (1 + 1e-6)], 1e-5)
    for wrong in (a * (1 + 1e-4), np.array([1.0, np.nan]), np.array([[1.0, -2.0]])):
        with pytest.raises(SystemExit, match="it: result 0 is off"):
            agree("it", [wrong], [a], 1e-5)


def test_milliseconds_have_no_exponent() -> None:
    assert [load("common").ms(s) for s in (4.236e-5, 1.236, 0.999)] == ["0.0424", "1,236", "999"]


def test_processes_have_so_many_cores() -> None:
    cores = sorted(os.sched_getaffinity(0))
    try:
        load("children").limit(1)
        assert os.sched_getaffinity(0) == {cores[0]}
    finally:
        os.sched_setaffinity(0, cores)
    assert "multi_thread_eigen=false" in load("children").environment(1)["XLA_FLAGS"]


def test_peak_is_above_what_a_product_reaches() -> None:
    engine_or_skip()
    if kernels.engine_info()["isa"] == "baseline":
        pytest.skip("a library with better instructions may be faster")
    peak, n = load("peak").peak_gflops(1, 0.5), 512
    a, threads = torch.randn(n, n), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        best = min(load("common").once(lambda: a @ a) for _ in range(20))
    finally:
        torch.set_num_threads(threads)
    assert 2e-9 * n**3 / best < 1.15 * peak  # both are the best of many runs on a machine that may be busy


def test_memory_of_a_step_is_seen() -> None:
    memory = load("step_memory")
    found = memory.work("nn", "rnn 2,3,8", 0.0, None)
    assert found["own"] < 50 and found["faults"] >= 0
    memory.forget_peak()
    before = memory.resident("VmHWM")
    held = np.ones(4_000_000)
    assert held.nbytes / 1e6 * 0.9 < memory.resident("VmHWM") - before
