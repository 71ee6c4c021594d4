"""What a layer adds to its kernels: counted in calls of functions, which no other process disturbs."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from backtime import kernels, nn
from backtime.nn import call_validation
from backtime.nn.backends import engine

overhead = import_module("benchmarks.overhead")
NN = str(Path(nn.__file__).parent)
pytestmark = pytest.mark.skipif(not kernels.available(), reason="it is the engine that is fast")
H = overhead.H


def calls_of(step: Callable[[], Any]) -> int:
    """How many functions the layers' own code calls, Python's and C's; not those of torch or the kernels."""
    seen: list[str] = []

    def look(frame: Any, event: str, _: Any) -> None:
        if event.endswith("call") and frame.f_code.co_filename.startswith(NN):
            seen.append(event)

    for _ in range(2):  # what is loaded at the first calls does not count
        step()
    sys.setprofile(look)
    try:
        step()
    finally:
        sys.setprofile(None)
    return len(seen)


def calls(n_layers: int) -> tuple[int, int]:
    """Of forward alone, and of forward and backward."""
    layer, x = nn.LSTM(H, H, n_layers), torch.randn(1, 1, H)
    forward, both = overhead.layer_steps(layer, x, list(layer.parameters()))
    return calls_of(forward), calls_of(both)


BUDGETS = {1: (56, 99), 2: (56, 108)}  # what they are, and a few more


@pytest.mark.parametrize("n_layers", BUDGETS)
def test_the_way_to_the_engine_is_short(n_layers: int) -> None:
    found = calls(n_layers)
    assert all(n <= most for n, most in zip(found, BUDGETS[n_layers], strict=True)), found


FORMS_BUDGET = {"floats": 56, "tokens": 56, "layer norm": 56, "`lengths=`": 62}


@pytest.mark.parametrize("form", FORMS_BUDGET)
def test_every_form_of_call_goes_the_short_way(form: str) -> None:
    _, call = overhead.forms()[form]
    with torch.no_grad():
        assert calls_of(call) <= FORMS_BUDGET[form], calls_of(call)


def test_a_longer_way_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = engine.run

    def checked(network: Any, x: Any, state: Any, weights: Any) -> Any:
        call_validation.check_call(network, x, state, weights)
        return right(network, x, state, weights)

    monkeypatch.setattr(engine, "run", checked)
    for n_layers, budget in BUDGETS.items():
        assert all(n > most for n, most in zip(calls(n_layers), budget, strict=True))


def test_a_side_that_computes_something_else_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = kernels.forward

    def wrong(cell: str, x: Any, *rest: Any, **options: Any) -> Any:
        return right(cell, x * 1.001, *rest, **options)

    monkeypatch.setattr(overhead.kernels, "forward", wrong)
    with pytest.raises(SystemExit, match="kernels: result 0 is off"):
        overhead.timed(1, 0.0)
