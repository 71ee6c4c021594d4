"""What a process of ``benchmarks.accelerate`` does: train a job, as one side, and tell what it saw."""

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import backtime
from benchmarks import real_models
from benchmarks.inside import Inside
from benchmarks.real_models import COMPARED, JOBS


class EnoughError(Exception):
    """Ends a library's training."""


@contextlib.contextmanager
def watching(seen: Callable[[Any], None]) -> Iterator[None]:
    """Every library ends a gradient step's loss in ``Tensor.backward``: call ``seen(loss)`` after it."""
    original = torch.Tensor.backward

    def backward(loss: Any, *args: Any, **kwargs: Any) -> None:
        original(loss, *args, **kwargs)
        seen(loss)

    torch.Tensor.backward = backward  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.backward = original  # type: ignore[method-assign]


def change(model: Any, side: str) -> str:
    """Make the model that of the side: the report of ``accelerate``, in one line."""
    if side == "torch":
        return ""
    done = str(backtime.accelerate(model)).replace("\n", "; ")
    if side == "restored":
        backtime.restore(model)
    return done


def compared(name: str, side: str) -> dict[str, Any]:
    """The first losses, the gradients of the first step, and roughly the seconds of a unit."""
    stamps: list[float] = []
    models: list[Any] = []
    found: dict[str, Any] = {"losses": [], "gradients": []}

    def prepare(model: Any) -> None:
        found["report"] = change(model, side)
        models.append(model)

    def seen(loss: Any) -> None:
        if not found["losses"]:
            own = [p.grad for p in models[0].parameters() if p.grad is not None]
            found["gradients"] = [fingerprint(gradient) for gradient in own]
        found["losses"].append(loss.item())
        stamps.append(time.perf_counter())
        if len(stamps) == COMPARED:
            raise EnoughError

    with contextlib.suppress(EnoughError), watching(seen):
        real_models.train(name, prepare, 1)
    return {**found, "seconds": (stamps[-1] - stamps[0]) / (COMPARED - 1) * JOBS[name].steps}


def fingerprint(gradient: Any) -> tuple[float, float]:
    """Length, and length of the shadow on a random direction: hardly a fault leaves both as they were."""
    g = gradient.double().numpy().ravel()
    return float(np.linalg.norm(g)), float(g @ np.random.default_rng(1).standard_normal(g.size))


def timed(name: str, side: str, units: int, inside: bool) -> dict[str, float]:
    """Median seconds of a unit, the first left out; with ``inside`` also what the layers took of it."""
    stamps: list[dict[str, float]] = []
    watched: list[Inside] = []

    def prepare(model: Any) -> None:
        change(model, side)
        if inside:
            watched.append(Inside(model))

    def seen(loss: Any) -> None:
        stamps.append({"seconds": time.perf_counter(), **(watched[0].counts() if watched else {})})

    with watching(seen):
        real_models.train(name, prepare, units + 2)
    ends = stamps[JOBS[name].steps :: JOBS[name].steps]
    pairs = list(itertools.pairwise(ends))
    return {key: statistics.median(b[key] - a[key] for a, b in pairs) for key in ends[0]}
