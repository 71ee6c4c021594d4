"""NaN and infinity go where PyTorch's go; denormals cost nothing, and the caller's mode for them stays."""

from typing import Any

import numpy as np
import pytest

from backtime import kernels
from backtime.reference.weights import Array, Weights, each
from cases import Case, engine_or_skip, make, train_step
from test_accuracy import KINDS, by_torch

torch = pytest.importorskip("torch")

T, B, I, H = 6, 5, 7, 19
PLACES = {  # argument: an element in the middle
    "x": (2, 3, 4),
    "h0": (3, 11),
    "c0": (3, 11),
    "Wx": (H // 2, 4),
    "Wh": (H // 2, 11),
    "bx": (H // 2,),
    "bh": (H // 2,),
    "dy": (3, 3, 11),
    "dhT": (3, 11),
}


def with_value(case: Case, place: str, value: float) -> Case:
    """The case with ``value`` in one element of one argument."""
    case = Case(case.x.copy(), *(_copies(part) for part in case[1:]))
    arrays = {
        "x": case.x,
        "dy": case.dy,
        "dhT": case.dstate[0],
        "h0": case.state[0],
        **case.weights._asdict(),
    }
    if len(case.state) == 2:
        arrays["c0"] = case.state[1]
    arrays[place][PLACES[place]] = value
    return case


def _copies(part: Any) -> Any:
    if isinstance(part, np.ndarray):
        return part.copy()
    return each(np.copy, part) if isinstance(part, Weights) else tuple(map(np.copy, part))


def pattern(a: Array) -> Array:
    """0 a finite number, 1 an infinite one, 2 NaN."""
    return np.where(np.isnan(a), 2, np.isinf(a).astype(int))


def differences(
    found: dict[str, Array], expected: dict[str, Array], numbers_alone: bool = False
) -> dict[str, int]:
    """By name: elements whose pattern differs; with ``numbers_alone``, whether a number is finite is all."""
    limit = 1 if numbers_alone else 2
    patterns = {n: (pattern(found[n]), pattern(expected[n])) for n in expected}
    wrong = {n: int((np.minimum(a, limit) != np.minimum(b, limit)).sum()) for n, (a, b) in patterns.items()}
    return {name: count for name, count in wrong.items() if count}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_nan_and_infinity_go_where_those_of_torch_go(kind: str, place: str, value: float) -> None:
    engine_or_skip()
    if place == "c0" and kind != "lstm":
        pytest.skip("the lstm's alone")
    case = with_value(make(KINDS[kind][0], T, B, I, H, dtype=np.float32), place, value)
    expected = by_torch(kind, case)
    found = train_step(KINDS[kind][0], case, "native", **KINDS[kind][3])
    # torch's gru is n + z (h - n): an infinite dh reaches n as dh - dh z, which is NaN; here it is dh (1 - z)
    numbers_alone = kind == "gru" and place in ("dy", "dhT")
    assert differences(found, expected, numbers_alone) == {}


def test_a_nan_in_another_place_is_seen() -> None:
    case = make("lstm", T, B, I, H, dtype=np.float32)
    expected = by_torch("lstm", with_value(case, "x", np.nan))
    found = {name: value.copy() for name, value in expected.items()}
    found["dx"][0, 3, 2] = 0
    found["y"][0, 0, 0] = np.inf
    assert differences(found, expected) == {"dx": 1, "y": 1}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_gates_that_are_shut_are_shut(cell: str, dtype: Any) -> None:
    """Every pre-activation from -760 to 760: 1 / (1 + e^-z) where e^-z is about to overflow, too."""
    engine_or_skip()
    case = make(cell, 1, 3000, 1, 1, dtype=dtype)
    x = np.linspace(-760, 760, 3000).astype(dtype).reshape(1, 3000, 1)
    for sign in (1, -1):
        weights = each(np.zeros_like, case.weights)
        weights.Wx[...] = sign
        found = train_step(cell, case._replace(x=x, weights=weights), "native")
        assert all(np.isfinite(value).all() for value in found.values())


def denormals(found: dict[str, Array]) -> int:
    """How many numbers of the results are too small to be normal, and not zero."""
    least = np.finfo(np.float32).tiny
    return sum(int(((value != 0) & (abs(value) < least)).sum()) for value in found.values())


@pytest.mark.parametrize("sizes", [(1e-41, 1.0), (1e-30, 1e-10)], ids=["read", "made"])
@pytest.mark.parametrize("kind", KINDS)
def test_denormals_are_zeros_and_so_cost_nothing(kind: str, sizes: tuple[float, float]) -> None:
    """Whether they come in, or come of a product, none goes on: a processor takes its slow way at each."""
    engine_or_skip()
    cell, _, _, options = KINDS[kind]
    size, weight = map(np.float32, sizes)
    case = make(cell, 30, 16, 64, 64, dtype=np.float32)
    Wx, Wh, bx, bh = case.weights[:4]
    silent = case.weights._replace(Wx=Wx * weight, Wh=Wh * weight, bx=0 * bx, bh=0 * bh)
    case = Case(_scaled(case.x, size), _scaled(case.state, size), silent,
                _scaled(case.dy, size), _scaled(case.dstate, size))  # fmt: skip
    assert denormals(train_step(cell, case, "native", **options)) == 0
    assert denormals(train_step(cell, case, "reference", **options)) > 1000  # which has no such mode


def _scaled(part: Any, factor: np.float32) -> Any:
    return part * factor if isinstance(part, np.ndarray) else tuple(a * factor for a in part)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("flush", [True, False])
def test_the_caller_s_mode_for_denormals_stays(flush: bool, threads: int) -> None:
    engine_or_skip()
    before = kernels.engine_info()["threads"]
    kernels.set_threads(threads)
    if not torch.set_flush_denormal(flush):
        pytest.skip("this processor has no such mode")
    try:
        train_step("lstm", make("lstm", 10, 40, 16, 64, dtype=np.float32), "native")
        half = torch.full((1,), 2.0**-126) / 2
        assert (half.item() == 0) is flush
    finally:
        torch.set_flush_denormal(False)
        kernels.set_threads(before)
