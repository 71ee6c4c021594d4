"""The sides of the grid at a point: ours and the installed peers, each checked before it is timed."""

from typing import Any

from backtime import kernels
from benchmarks import common
from benchmarks.common import Side
from benchmarks.points import (
    Point,
    check,
    errors,
    infer_module,
    refuse,
    train_kernels,
    train_module,
)

PEERS = ("torch", "jax", "onnx")
OURS = ("kernels", "nn")
PACKAGE = {"jax": ("jax",), "onnx": ("onnx", "onnxruntime")}


def peers() -> list[str]:
    """The peers that are installed; torch always is."""
    return [name for name in PEERS if all(map(common.installed, PACKAGE.get(name, ())))]


def make_sides(point: Point, threads: int | None) -> dict[str, dict[str, Side]]:
    """The calls to time, ``{"training": {side: call}, "inference": {side: call}}``; all results agree.

    Ours are held to the rule of ``points.check``. A peer is only to do the same computation: its error may be
    ten times that of torch.nn's float32, plus 2e-5.
    """
    truth = check(point)
    allowed = [10 * error + 2e-5 for error in errors(train_module(point.stock, point.x, point.dy), truth)]
    sides = {"training": _training(point), "inference": _inference(point, threads)}
    for mode, calls in sides.items():
        for name in set(calls) - set(OURS):
            found = calls[name]()
            results = found if mode == "training" else [found]
            refuse(point, f"{name} in {mode}", results, truth[: len(results)], allowed)
    return sides


def _training(point: Point) -> dict[str, Side]:
    x, dy, weights = point.arrays()
    sides: dict[str, Side] = {"torch": lambda: train_module(point.stock, point.x, point.dy)}
    if "jax" in peers():
        from benchmarks.extra import jax_scan

        sides["jax"] = jax_scan.training(point.cell, x, dy, weights)
    sides["kernels"] = lambda: train_kernels(point.cell, x, dy, weights)
    sides["nn"] = lambda: train_module(point.ours, point.x, point.dy)
    return sides


def _inference(point: Point, threads: int | None) -> dict[str, Side]:
    x, _, weights = point.arrays()
    sides: dict[str, Side] = {"torch": lambda: infer_module(point.stock, point.x)}
    if "jax" in peers():
        from benchmarks.extra import jax_scan

        sides["jax"] = jax_scan.inference(point.cell, x, weights)
    if "onnx" in peers():
        from benchmarks.extra import onnx_node

        sides["onnx"] = onnx_node.inference(point.cell, x, weights, threads)
    sides["kernels"] = lambda: infer_kernels(point.cell, x, weights)
    sides["nn"] = lambda: infer_module(point.ours, point.x)
    return sides


def infer_kernels(cell: str, x: Any, weights: Any) -> Any:
    return kernels.forward(cell, x, None, weights, save=False)[0]
