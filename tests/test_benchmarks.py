"""The benchmarks: their tables and plots say what was measured, on as many cores as they say."""

import importlib
import json
import os
import subprocess
import sys
import time
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
    monkeypatch.setattr(grid.common, "interleaved", lambda points, _: dict.fromkeys(points, TIMES))
    monkeypatch.setattr(grid, "peak_gflops", lambda *_: 100.0)
    words = ["engine_grid", "--work", "--cells", "lstm", "--threads", "1", "--shapes", "1,3,8", "2,4,5"]
    monkeypatch.setattr("sys.argv", words)
    grid.main()
    found = json.loads(capsys.readouterr().out)
    assert list(found["times"]["inference"]) == ["lstm 1,3,8", "lstm 2,4,5"]
    assert found["isa"] == kernels.engine_info()["isa"]


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


def test_the_grid_of_an_instruction_set_has_a_section_and_a_plot_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grid, told = load("engine_grid"), []

    def run(module: str, words: list[str], threads: int, isa: str | None) -> dict[str, Any]:
        told.append((threads, isa))
        times = {"training": {"lstm 1,3,8": TIMES}}
        return {"threads": threads, "isa": isa or "best", "peak": 100.0, "times": times}

    monkeypatch.setattr(grid.children, "run", run)
    monkeypatch.delenv("BACKTIME_ISA", raising=False)
    for words, title in (["--isa", "avx2"], "## One layer, avx2\n"), ([], "## One layer\n"):
        monkeypatch.setattr("sys.argv", ["engine_grid", "--threads", "2", *words])
        grid.main()
        text = capsys.readouterr().out
        assert text.startswith(title) and f"plots/grid{'-avx2' if words else ''}.svg" in text
        assert ("hidden from all but ONNX Runtime" in text) == bool(words)
    assert told == [(2, "avx2"), (2, None)]


@pytest.mark.slow
def test_an_instruction_set_is_hidden_from_those_who_can_be_told() -> None:
    engine_or_skip()
    if "avx512" not in kernels.engine_info()["isa"]:
        pytest.skip("nothing above AVX2 to hide")
    program = (
        "import torch; from backtime import kernels;"
        "print(torch.backends.cpu.get_cpu_capability(), kernels.engine_info()['isa'])"
    )
    found = {}
    for isa in ("avx2", None):
        environment = load("children").environment(None, isa)
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True
        )
        found[isa] = done.stdout.split()
    assert found["avx2"] == ["AVX2", "avx2"] and found[None] == ["AVX512", "avx512"]
    assert "--xla_cpu_max_isa=AVX2" in load("children").environment(1, "avx2")["XLA_FLAGS"]
    assert "multi_thread_eigen=false" in load("children").environment(1, "avx2")["XLA_FLAGS"]


def test_row_of_the_grid_names_the_best_peer() -> None:
    row = load("grid_tables").row("gru 2,5,10", "training", TIMES, peak=0.1)
    # 3 passes x 2 flops x 3 gates x H x 2 H x B x T = 36,000 flops in 1 ms: 0.036 GFLOP/s of 0.1
    assert row == ["gru 2,5,10", "4", "3", "2", "1", "2.5", "0", "36%", "onnx", "2.00", "0.80"]


def test_tables_of_the_grid_count_where_ours_is_ahead() -> None:
    lost = {"torch": 1e-3, "kernels": 2e-3, "nn": 2e-3}
    at_all = {"training": {"rnn 1,1,8": TIMES}}
    runs = [{"threads": n, "isa": "avx2", "peak": 100.0, "times": dict(at_all)} for n in (1, 2)]
    runs[1]["times"]["training"] = {"rnn 1,1,8": TIMES, "rnn 2,1,8": lost}
    text = load("grid_tables").tables(runs)
    assert "**training, one thread, avx2**, peak 100 GFLOP/s; ahead of every peer at 1 of 1 points\n" in text
    assert (
        "2 threads, avx2**, peak 100 GFLOP/s; ahead of every peer at 1 of 2 points, behind at rnn 2,1,8\n"
        in text
    )
    assert "|       - |" in text  # a side that did not run


def test_plots_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plots = load("plots")
    points = {"lstm 1,100,32": TIMES, "gru 1,100,32": {"torch": 1e-3, "kernels": 2e-3}}
    times = {"training": points, "inference": points}
    runs = [{"threads": n, "isa": "avx2", "peak": 100.0, "times": times} for n in (1, 2)]
    each = {letter: {10: {"torch": 2.0, "nn": 1.0}, 100: {"torch": 2.0, "nn": 1.0}} for letter in "TV"}
    found = plots.draw_grid(runs, tmp_path) + plots.draw_growth(each, {"T": "ns", "V": "ps"}, tmp_path)
    assert [path.name for path in found] == ["grid.svg", "grid.png", "growth.svg", "growth.png"]
    text = found[0].read_text()
    assert plots.AHEAD in text and plots.BEHIND in text


def test_medians_come_of_turns() -> None:
    common, order = load("common"), []

    def side(name: str, seconds: float) -> Any:
        return lambda: (order.append(name), time.sleep(seconds))

    found = common.medians({"long": side("long", 0.21), "short": side("short", 0.02)}, seconds=0.01)
    assert 0.02 <= found["short"] < 0.1 <= found["long"]
    assert order.count("long") == 4  # one that finds out how long it is, and a turn of one call in each round
    assert order[:2] == ["long", "short"] and order[2] == "long" and order[6] == "long"


def test_points_take_turns_as_sides_do() -> None:
    order: list[str] = []
    points = {p: {s: lambda name=p + s: order.append(name) for s in "xy"} for p in "ab"}
    found = load("common").interleaved(points, seconds=0.001)
    assert {p: set(each) for p, each in found.items()} == {"a": {"x", "y"}, "b": {"x", "y"}}
    turns = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    assert (
        turns == ["ax", "ay", "bx", "by"] * (len(turns) // 4) and len(turns) >= 16
    )  # a try, then three rounds


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
    held = np.ones(8_000_000)  # more than what the heap may keep of earlier blocks
    assert held.nbytes / 1e6 * 0.9 < memory.resident("VmHWM") - before
