"""The sides of the benchmarks: they compute what torch computes, and a wrong one is not timed."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from cases import engine_or_skip

ROOT = Path(__file__).parents[1]
CELLS = ("rnn", "gru", "lstm")


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


def load(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.{name}")


def peer(name: str, *packages: str) -> ModuleType:
    """A peer, or a skip where its package is missing; its own warnings at import are not ours."""
    for package in packages:
        pytest.importorskip(package)
    return load(f"extra.{name}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cell", CELLS)
def test_jax_computes_what_torch_computes(cell: str) -> None:
    jax_scan, points = peer("jax_scan", "jax"), load("points")
    point = points.make_point(cell, 3, 5, 8)
    x, dy, weights = point.arrays()
    truth = points.truth_of(point)
    points.refuse(point, "jax", jax_scan.training(cell, x, dy, weights)(), truth, [2e-6] * 6)
    points.refuse(point, "jax", [jax_scan.inference(cell, x, weights)()], truth[:1], [2e-6])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cell", CELLS)
def test_onnx_computes_what_torch_computes(cell: str) -> None:
    onnx_node, points = peer("onnx_node", "onnx", "onnxruntime"), load("points")
    point = points.make_point(cell, 3, 5, 8)
    x, _, weights = point.arrays()
    truth = points.truth_of(point)
    points.refuse(point, "onnx", [onnx_node.inference(cell, x, weights, 1)()], truth[:1], [2e-6])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_onnx_with_gates_in_the_order_of_torch_is_refused(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx_node, points = peer("onnx_node", "onnx", "onnxruntime"), load("points")
    point = points.make_point(cell, 3, 5, 8)
    x, _, weights = point.arrays()
    monkeypatch.setitem(onnx_node.ORDER, cell, tuple(range(len(onnx_node.ORDER[cell]))))
    y = onnx_node.inference(cell, x, weights, 1)()
    with pytest.raises(SystemExit, match="y of onnx is off"):
        points.refuse(point, "onnx", [y], points.truth_of(point)[:1], [2e-5])


def test_a_peer_that_is_wrong_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    sides, points = load("sides"), load("points")
    monkeypatch.setattr(sides, "peers", lambda: ["torch"])
    point = points.make_point("gru", 2, 4, 8)
    assert set(sides.make_sides(point, 1)["inference"]) == {"torch", "kernels", "nn"}
    infer = sides.infer_module
    monkeypatch.setattr(sides, "infer_module", lambda layer, x: infer(layer, x) * 1.001)
    with pytest.raises(SystemExit, match="y of torch in inference is off"):
        sides.make_sides(point, 1)


@pytest.mark.parametrize("option", ["plain", "relu", "weight drop"])
def test_composed_cells_agree_with_kernels(option: str) -> None:
    engine_or_skip()
    options, common = load("options"), load("common")
    for cell in (cell for cell in CELLS if option in load("option_cases").OPTIONS[cell]):
        sides = [make(cell, option, 4, 3, 8)() for make in (options.native_side, options.composed_side)]
        common.agree(f"{cell} {option}", *sides, 1e-5)


def test_streaming_sides_agree_and_a_wrong_one_is_refused() -> None:
    streaming = load("streaming")
    torch.manual_seed(1)
    sides = streaming.make_sides(torch.nn.LSTM(64, 64))
    inputs = np.random.default_rng(1).standard_normal((3, 1, 64), np.float32)
    streaming.check(sides, inputs)
    sides["backtime"] = lambda x: x
    with pytest.raises(SystemExit, match="h of backtime is off"):
        streaming.check(sides, inputs)


def test_batch_sizes_are_those_of_torch() -> None:
    sizes = load("ragged").batch_sizes(5, 9)
    lengths = np.sort(np.random.default_rng(1).integers(1, 9, 5, endpoint=True))[::-1].copy()
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.zeros(9, 5, 1), torch.from_numpy(lengths))
    assert sizes.tolist() == packed.batch_sizes.tolist()


@pytest.mark.parametrize("result", range(4))
def test_an_option_with_a_wrong_result_is_not_timed(result: int) -> None:
    engine_or_skip()
    options, call = load("options"), ("lstm", "peephole", 6, 4, 16)
    results = options.native_side(*call)()
    peer, truth = options.composed_side(*call)(), options.composed_side(*call, torch.float64)()
    options.check("lstm", results, peer, truth)
    results[result] = results[result].copy()
    results[result].flat[7] += 1e-3 * np.abs(results[result]).max()
    with pytest.raises(SystemExit, match=f"result {result} is off"):
        options.check("lstm", results, peer, truth)
