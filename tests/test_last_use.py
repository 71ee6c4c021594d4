"""``backward(last_use=True)``: dz takes the place of the gates, no result changes, and the tape is gone."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from backtime import kernels
from backtime.errors import UsageError
from cases import OPTION_CASES, Case, cast, cast_options, make, pack

pytestmark = pytest.mark.usefixtures("engine")

PLAIN = ("rnn", "gru", "lstm")
LENGTHS = np.array([6, 0, 3, 6, 1, 2, 5, 6, 4, 4, 1, 0, 6])


def built(name: str) -> tuple[str, Case, dict[str, Any]]:
    if name in PLAIN:
        return name, cast(make(name, 6, 13, 20, 33), np.float32), {}
    case, options = OPTION_CASES[name].build(6, 13, 20, 33)
    return OPTION_CASES[name].cell, cast(case, np.float32), cast_options(options, np.float32)


def same(found: Any, expected: Any) -> bool:
    if expected is None or found is None:
        return found is expected
    if isinstance(expected, np.ndarray):
        return np.array_equal(found, expected)
    return all(same(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("name", [*PLAIN, *OPTION_CASES])
def test_the_last_use_of_a_tape_gives_the_same_bits(name: str, reverse: bool) -> None:
    cell, *dense = built(name)
    for case, options in (dense, pack(*dense, LENGTHS)):
        _, _, tape = kernels.forward(
            cell, case.x, case.state, case.weights, backend="native", reverse=reverse, **options
        )
        expected = kernels.backward(tape, case.dy, case.dstate)
        assert same(kernels.backward(tape, case.dy, case.dstate), expected)
        assert same(kernels.backward(tape, case.dy, case.dstate, last_use=True), expected)
        for last_use in (False, True):
            with pytest.raises(UsageError, match="tape was used up"):
                kernels.backward(tape, case.dy, case.dstate, last_use=last_use)


@pytest.mark.parametrize("cell", PLAIN)
def test_the_last_use_in_both_directions(cell: str) -> None:
    case = make(cell, 6, 13, 20, 33)
    _, _, tapes = kernels.forward_both(
        cell, case.x, (case.state, case.state), (case.weights, case.weights), backend="native"
    )
    dy, dstates = np.concatenate([case.dy, case.dy], -1), (case.dstate, case.dstate)
    expected = kernels.backward_both(tapes, dy, dstates)
    assert same(kernels.backward_both(tapes, dy, dstates, last_use=True), expected)
    with pytest.raises(UsageError, match="tape was used up"):
        kernels.backward_both(tapes, dy, dstates)


def test_of_many_threads_one_has_the_last_use() -> None:
    case = make("lstm", 40, 16, 64, 64)
    _, _, tape = kernels.forward("lstm", case.x, case.state, case.weights, backend="native")
    expected = kernels.backward(tape, case.dy, case.dstate)

    def attempt(_: int) -> Any:
        try:
            return kernels.backward(tape, case.dy, case.dstate, last_use=True)
        except ValueError:
            return None

    with ThreadPoolExecutor(8) as pool:
        found = [each for each in pool.map(attempt, range(8)) if each is not None]
    assert len(found) == 1
    assert same(found[0], expected)
