"""exp, sigmoid and tanh of the engine: error bounds in ulp against a wider type, and special values."""

import numpy as np
import pytest

from cases import engine_or_skip

pytestmark = pytest.mark.usefixtures("engine_is_there")

# csrc/functions.hpp and docs/soundness.md state these bounds, for every number and instruction set.
BOUNDS = {"exp": 1.5, "sigmoid": 3.0, "tanh": 3.0}
TRUTH = {
    "exp": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}
INFINITY = 0x7F800000  # the first bit pattern of float32 that is no finite number
CHUNK = 1 << 19  # patterns at a time: their float64 truth stays in cache

# Where the error is largest among all 2^32 float32 numbers, with and without fma; and where the baseline's
# exp once lost its p to the flushing of denormals.
WORST = {
    "exp": [0x40A65D1A, 0xC1824DC1, 0xC2ADFADD, 0xC2A7CE1C],
    "sigmoid": [0xC18515EC, 0xB9B4E004],
    "tanh": [0x3CFF043E, 0x3D7E536C, 0x3D8014A7, 0x3D7B981C],
}
# The last normal results, from where 2^n is infinite before e^x is.
LAST = {"exp": (88.3763, 88.7228), "sigmoid": (-88.7228, -87.3365), "tanh": (9.0, 9.03)}
LAST_DOUBLE = {"exp": (709.4362, 709.7827), "sigmoid": (-709.7827, -708.3964), "tanh": (19.0, 19.2)}


@pytest.fixture
def engine_is_there():
    engine_or_skip()


def engine(function, x):
    from backtime import _engine

    y = np.empty_like(x)
    _engine.elementwise(function, np.ascontiguousarray(x), y)
    return y


def worst_error(function, x, found=None):
    """The largest error in ulp, and where; infinite where 0 or infinity was due and is not found."""
    wide = np.longdouble if x.dtype == np.float64 else np.float64
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        exact = TRUTH[function](x.astype(wide))
        rounded = exact.astype(x.dtype)
        found = engine(function, x) if found is None else found
        error = np.abs(found - exact) / np.spacing(np.abs(rounded)).astype(wide)
    flushed = np.abs(exact) < np.finfo(x.dtype).tiny
    rounded[flushed] = 0
    fixed = flushed | np.isinf(rounded)
    error[fixed] = np.where(found[fixed] == rounded[fixed], 0, np.inf)
    error[np.isnan(error)] = np.inf
    at = int(error.argmax())
    return float(error[at]), float(x[at])


def assert_within_bound(function, x):
    error, at = worst_error(function, x)
    assert error <= BOUNDS[function], f"{function}({at!r} = {at.hex()}) errs by {error:.3f} ulp"


@pytest.mark.parametrize("function", sorted(BOUNDS))
def test_float32_stays_within_the_bound_at_every_541st_number(function):
    positive = np.arange(0, INFINITY, 541, dtype=np.uint32).view(np.float32)
    assert_within_bound(function, np.concatenate([positive, -positive]))


@pytest.mark.slow
@pytest.mark.parametrize("sign", [0, 1 << 31])
@pytest.mark.parametrize("function", sorted(BOUNDS))
def test_float32_stays_within_the_bound_at_every_number(function, sign, request):
    if "slow" not in (request.config.getoption("markexpr") or ""):
        pytest.skip("two minutes each: run with -m slow")
    for start in range(0, INFINITY, CHUNK):
        bits = np.arange(start, min(start + CHUNK, INFINITY), dtype=np.uint32) | np.uint32(sign)
        assert_within_bound(function, bits.view(np.float32))


@pytest.mark.parametrize("function", sorted(BOUNDS))
def test_the_worst_numbers_stay_within_the_bound(function):
    assert_within_bound(function, np.array(WORST[function], np.uint32).view(np.float32))


@pytest.mark.parametrize(
    ("dtype", "ends"), [(np.float32, LAST), (np.float64, LAST_DOUBLE)], ids=["float32", "float64"]
)
@pytest.mark.parametrize("function", sorted(BOUNDS))
def test_the_ends_of_the_range_stay_within_the_bound(function, dtype, ends):
    assert_within_bound(function, np.linspace(*ends[function], 100_001).astype(dtype))


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="no type wider than float64 here")
@pytest.mark.parametrize("function", sorted(BOUNDS))
def test_float64_stays_within_the_bound(function):
    rng = np.random.default_rng(0)
    size = rng.standard_normal(200_000) * 2.0 ** rng.integers(-40, 10, 200_000)
    patterns = rng.integers(0, np.float64(np.inf).view(np.uint64), 200_000, dtype=np.uint64).view(np.float64)
    for x in (patterns, -patterns, size, rng.uniform(-40, 40, 200_000), rng.uniform(-760, 760, 200_000)):
        assert_within_bound(function, x)


@pytest.mark.parametrize("function", sorted(BOUNDS))
def test_an_error_beyond_the_bound_is_seen(function):
    x = np.linspace(-5, 5, 1001, dtype=np.float32)
    found = engine(function, x)
    assert worst_error(function, x, found)[0] <= BOUNDS[function]
    found[300] *= 1 + 16 * np.finfo(np.float32).eps  # 16 to 32 ulp
    error, at = worst_error(function, x, found)
    assert error > BOUNDS[function]
    assert at == x[300]
    found[300] = np.nan
    assert worst_error(function, x, found) == (np.inf, x[300])


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
