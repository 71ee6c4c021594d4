"""exp, sigmoid and tanh of the engine: error bounds in ulp against a wider type, and special values."""

import numpy as np
import pytest

from backtime import kernels

pytestmark = pytest.mark.skipif(not kernels.available(), reason="the engine is not built")

# The widest of a dense sweep over all magnitudes; csrc/functions.hpp states these bounds.
BOUNDS = {"exp": 2.0, "sigmoid": 4.0, "tanh": 4.0}
EXACT = {
    "exp": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def engine(function, x):
    from backtime import _engine

    y = np.empty_like(x)
    _engine.elementwise(function, np.ascontiguousarray(x), y)
    return y


def inputs(dtype, function):
    """Every 97th number of the type's bit patterns for float32; dense ranges for float64; both signs."""
    if dtype == np.float32:
        bits = np.arange(0, np.float32(np.inf).view(np.uint32), 97, dtype=np.uint32)
        positive = bits.view(np.float32)
    else:
        positive = np.concatenate([np.geomspace(1e-300, 1e3, 400_001), np.linspace(0, 40, 400_001)])
    x = np.concatenate([positive, -positive]).astype(dtype)
    if function == "exp":  # beyond these the result is infinite or not normal
        limit = (-87.3, 88.3) if dtype == np.float32 else (-708.0, 709.0)
        x = x[(x > limit[0]) & (x < limit[1])]
    if function == "sigmoid":  # below, the result is not a normal number
        x = x[x > (-86.5 if dtype == np.float32 else -707.0)]
    return x


def error_in_ulp(function, x):
    wide = np.longdouble if x.dtype == np.float64 else np.float64
    exact = EXACT[function](x.astype(wide))
    normal = np.abs(exact) >= np.finfo(x.dtype).tiny  # the engine flushes what is not
    with np.errstate(under="ignore"):
        ulp = np.spacing(np.abs(exact).astype(x.dtype)).astype(wide)
    return float((np.abs(engine(function, x).astype(wide) - exact) / ulp)[normal].max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", sorted(BOUNDS))
def test_error_stays_below_the_stated_bound(function, dtype):
    assert error_in_ulp(function, inputs(dtype, function)) <= BOUNDS[function]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    np.testing.assert_array_equal(engine("exp", x), np.array([np.nan, np.inf, 0, 1, 1], dtype))
    np.testing.assert_array_equal(engine("sigmoid", x), np.array([np.nan, 1, 0, 0.5, 0.5], dtype))
    tanh = engine("tanh", x)
    np.testing.assert_array_equal(tanh, np.array([np.nan, 1, -1, 0, 0], dtype))
    assert np.signbit(tanh[4])
    assert not np.signbit(tanh[3])


@pytest.mark.parametrize("n", [1, 2, 3, 15, 16, 17, 31])
def test_the_lanes_beyond_the_end_are_left_alone(n):
    y = np.full(64, 7.0, np.float32)
    from backtime import _engine

    _engine.elementwise("tanh", np.linspace(-1, 1, n, dtype=np.float32), y[:n])
    assert (y[n:] == 7).all()
    assert (y[:n] != 7).all()
