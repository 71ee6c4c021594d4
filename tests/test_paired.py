"""A last block at most half full, whose gates share vectors by twos (csrc/paired.hpp): nothing shows it."""

from typing import Any

import numpy as np
import pytest

from agreement import assert_agrees, existing
from backtime import kernels
from backtime.reference.weights import Array
from cases import Case, make, train_step

pytestmark = pytest.mark.usefixtures("engine")

# With 2, 4, 8 and 16 lanes, in a block that stands alone or after others: one unit, half of the lanes, and
# one unit more, which is the first size whose gates have a vector each.
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 17, 24, 25, 33)
HALVES = (3, 6, 12, 24)  # with 2, 4, 8 and 16 lanes: a block and a half
WHOLE = 48  # a multiple of every number of lanes
KINDS = {"gru": (), "lstm": (), "gru norm": ("norm",), "lstm norm": ("norm",), "lstm peephole": ("p",)}


def layer(kind: str, T: int, B: int, I: int, H: int, dtype: Any = np.float32, one_hot: bool = False) -> Case:
    return make(kind.split()[0], T, B, I, H, dtype, one_hot, extras=KINDS[kind])


def widened(name: str, a: Array, H: int) -> Array:
    """One array of a layer of H units, or its gradient, with zeros for the units from H to WHOLE."""
    name = name.removeprefix("d")
    if name in ("Wx", "Wh", "bx", "bh"):
        gates = a.reshape(-1, H, *a.shape[1:])
        a = np.pad(gates, [(0, 0), (0, WHOLE - H), *[(0, 0)] * (a.ndim - 1)]).reshape(-1, *a.shape[1:])
    if name in ("x", "Wx", "bx", "bh"):
        return a
    return np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, WHOLE - H)])


@pytest.mark.parametrize("one_hot", [False, True], ids=["vectors", "tokens"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["gru", "lstm", "lstm peephole"])
def test_units_have_the_same_bits_in_a_paired_block_and_in_a_whole_one(
    kind: str, dtype: Any, one_hot: bool
) -> None:
    """Units whose weights are all zero stay zero and reach nothing, but no block is paired any more."""
    for H in SIZES:
        # one step; the input product first; both products at once; gradients in two chunks of rows
        for T, B in ((1, 6), (3, 1), (2, 13), (9, 30)):
            case = layer(kind, T, B, 19, H, dtype, one_hot)
            state, dstate = (tuple(widened("h", s, H) for s in part) for part in (case.state, case.dstate))
            weights = {name: widened(name, w, H) for name, w in existing(case.weights).items()}
            whole = Case(case.x, state, case.weights._replace(**weights), widened("dy", case.dy, H), dstate)
            found = train_step(kind.split()[0], case, "native")
            expected = train_step(kind.split()[0], whole, "native")
            wrong = [
                name for name in found if not np.array_equal(widened(name, found[name], H), expected[name])
            ]
            assert not wrong, (H, T, B, wrong)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_a_paired_block_agrees_with_the_reference(kind: str, dtype: Any) -> None:
    if "norm" in kind and dtype == np.float32:
        pytest.skip("the deviation of a few units may be small: then the luck of single roundings decides")
    for H in SIZES:
        for n, (T, B) in enumerate(((1, 6), (3, 1), (2, 13))):
            kernels.set_threads(1 + n)
            assert_agrees(kind.split()[0], layer(kind, T, B, 19, H, dtype), "native")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_neither_threads_nor_the_batch_nor_a_cut_changes_a_bit(kind: str, dtype: Any) -> None:
    cell, (T, B) = kind.split()[0], (5, 40)
    for H in HALVES:
        case = layer(kind, T, B, 19, H, dtype)
        kernels.set_threads(1)
        whole, last, _ = kernels.forward(cell, case.x, case.state, case.weights, save=False, backend="native")
        for threads, rows in ((3, slice(0, B)), (1, slice(7, 8)), (2, slice(20, 33))):
            kernels.set_threads(threads)
            state: Any = tuple(s[rows] for s in case.state)
            y = kernels.forward(cell, case.x[:, rows].copy(), state, case.weights, backend="native")[0]
            assert np.array_equal(y, whole[:, rows]), (H, threads, rows)
            for t in range(T):
                x = case.x[t : t + 1, rows].copy()
                y, state, _ = kernels.forward(cell, x, state, case.weights, save=False, backend="native")
                assert np.array_equal(y[0], whole[t, rows]), (H, threads, rows, t)
            assert all(np.array_equal(end, s[rows]) for end, s in zip(state, last, strict=True))


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_a_stack_streams_the_bits_of_a_whole_sequence(kind: str) -> None:
    for H in HALVES:
        x, _, weights, *_ = layer(kind, 6, 2, H, H)
        y = kernels.forward(kind, x, None, weights, backend="native")[0]
        stack = kernels.Stack([weights], kind, backend="native")
        state = stack.zero_state(2)
        assert all(np.array_equal(stack.step(x[t], state), y[t]) for t in range(6))


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("place", ["x", "h0"])
def test_an_infinity_reaches_only_the_gates_that_it_multiplies(kind: str, place: str) -> None:
    """Where the gru's n and m shared a vector, each would be NaN by the zeros of the product it is not in."""
    for H in HALVES:
        case = layer(kind, 1, 7, 19, H)
        (case.x[0] if place == "x" else case.state[0])[3, 1] = np.inf
        with np.errstate(invalid="ignore"):
            expected = kernels.forward(kind, case.x, case.state, case.weights, backend="reference")[0]
        y = kernels.forward(kind, case.x, case.state, case.weights, backend="native")[0]
        assert np.array_equal(np.isfinite(y), np.isfinite(expected)), H
        assert np.array_equal(np.isnan(y), np.isnan(expected)), H
