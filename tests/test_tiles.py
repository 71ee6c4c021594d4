"""Register tiles of every shape (csrc/tile.hpp, tiling.hpp): how rows are dealt out shows in no result."""

from typing import Any

import numpy as np
import pytest

from backtime import kernels
from cases import Case, make

pytestmark = pytest.mark.usefixtures("engine")

# By 6, 5, 4, 3 and 2 rows, alone and mixed, with 16 registers and with 32.
ROWS = (*range(1, 21), 25, 32, 33)
# Of 2, 4, 8 and 16 lanes: a block or two alone, odd and even numbers of them, rests of one, two and three.
UNITS = (8, 24, 40, 72, 80, 176)


def step(cell: str, case: Case, rows: slice, **options: Any) -> tuple[np.ndarray, ...]:
    """y, dx and the gradient of the start of some sequences of the batch."""
    state: Any = tuple(s[rows].copy() for s in case.state)
    dstate: Any = tuple(s[rows].copy() for s in case.dstate)
    x = case.x[:, rows].copy()
    y, _, tape = kernels.forward(cell, x, state, case.weights, backend="native", **options)
    assert tape is not None
    found = kernels.backward(tape, case.dy[:, rows].copy(), dstate)
    assert found.dx is not None
    return y, found.dx, *found.dstate


def compare(cell: str, inputs: int, units: int, dtype: Any) -> None:
    """Each row alone with the same rows in batches of every size, bit by bit."""
    case = make(cell, 2, max(ROWS), inputs, units, dtype)
    alone = [step(cell, case, slice(r, r + 1)) for r in range(max(ROWS))]
    y, dx, *dstate = (np.concatenate(parts, axis=-2) for parts in zip(*alone, strict=True))
    for n in ROWS:
        found = step(cell, case, slice(0, n))
        for name, a, b in zip(("y", "dx", "dh0", "dc0"), found, (y, dx, *dstate), strict=False):
            assert np.array_equal(a, b[..., :n, :]), (name, inputs, units, n)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_row_has_the_same_bits_in_tiles_of_every_shape(cell: str, dtype: Any) -> None:
    kernels.set_threads(1)
    for H in UNITS:
        compare(cell, 19, H, dtype)


@pytest.mark.parametrize("inputs", [600, 1600])  # panels from 48 KB on; of 1600 also hoisted
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_row_has_the_same_bits_where_the_next_panel_is_fetched(cell: str, inputs: int) -> None:
    kernels.set_threads(1)
    compare(cell, inputs, 24, np.float32)


# dz of so many rows and units is larger than what stays in a second cache; of dx 96 rows go first, then 20.
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("cell", "options"), [("rnn", {}), ("gru", {}), ("gru", {"reset_after": False}), ("lstm", {})]
)
def test_a_row_has_the_same_bits_where_a_sum_over_units_is_made_in_parts(
    cell: str, options: dict[str, bool], dtype: Any
) -> None:
    kernels.set_threads(1)
    B, few = 58, slice(50, 54)
    case = make(cell, 2, B, 19, 1100 if cell == "rnn" else 300, dtype)
    alone, found = step(cell, case, few, **options), step(cell, case, slice(0, B), **options)
    for a, b in zip(alone, found, strict=True):
        assert np.array_equal(a, b[..., few, :])
