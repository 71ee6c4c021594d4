"""Output units: against their definitions, numeric differentiation and torch; engine against reference."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agreement import size, worst
from backtime import UsageError, kernels
from backtime.reference import losses
from backtime.reference.losses import OutputGradients
from backtime.reference.weights import Array
from numeric import check_gradients

# (R, H, V): edges of tiles and vectors; the last has more rows than the engine takes in one chunk
SHAPES = [
    (1, 1, 1),
    (1, 3, 2),
    (2, 16, 65),
    (7, 17, 16),
    (33, 40, 3),
    (13, 64, 17),
    (100, 65, 1000),
    (2000, 8, 40),
]
UNITS: dict[str, Callable[..., tuple[Array, OutputGradients | None]]] = {
    "softmax": losses.softmax_cross_entropy,
    "sigmoid": losses.sigmoid_binary_cross_entropy,
    "linear": losses.linear_squared_error,
}


def make(
    unit: str, R: int, H: int, V: int, dtype: Any = np.float64
) -> tuple[Array, Array, Array, Any, Array]:
    """h, Wy, by, targets and the rows' weights, some of them zero."""
    rng = np.random.default_rng([R, H, V])
    h, Wy, by = (rng.standard_normal(s).astype(dtype) for s in ((R, H), (V, H), (V,)))
    targets = rng.integers(0, V, R) if unit == "softmax" else rng.uniform(0, 1, (R, V)).astype(dtype)
    weights = rng.uniform(-1, 2, R).astype(dtype)
    weights[1::3] = 0
    return h, Wy / dtype(math.sqrt(H)), by, targets, weights


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("unit", UNITS)
def test_gradient_is_the_numeric_one(unit: str, weighted: bool) -> None:
    h, Wy, by, targets, weights = make(unit, 4, 3, 5)
    given = weights if weighted else None
    rows = weights if weighted else np.full(4, 0.25)

    def forward(h: Array, Wy: Array, by: Array) -> tuple[Array, ...]:
        return (np.array([rows @ UNITS[unit](h, Wy, by, targets, gradient=False)[0]]),)

    def backward(dE: Array, h: Array, Wy: Array, by: Array) -> dict[str, Array]:
        gradients = UNITS[unit](h, Wy, by, targets, given)[1]
        assert gradients is not None
        return dict(zip(("h", "Wy", "by"), (dE * g for g in gradients), strict=True))

    check_gradients(forward, backward, {"h": h, "Wy": Wy, "by": by})


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("unit", UNITS)
def test_torch_bears_witness(unit: str, shape: tuple[int, ...], weighted: bool) -> None:
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    h, Wy, by, targets, weights = make(unit, *shape)
    found, gradients = UNITS[unit](h, Wy, by, targets, weights if weighted else None)
    leaves = [torch.tensor(a, requires_grad=True) for a in (h, Wy, by)]
    z, t = F.linear(*leaves), torch.tensor(targets)
    if unit == "softmax":
        expected = F.cross_entropy(z, t, reduction="none")
    elif unit == "sigmoid":
        expected = F.binary_cross_entropy_with_logits(z, t, reduction="none").sum(1)
    else:
        expected = 0.5 * F.mse_loss(z, t, reduction="none").sum(1)
    (expected @ torch.tensor(weights) if weighted else expected.mean()).backward()
    assert gradients is not None
    for ours, theirs in zip(
        (found, *gradients), (expected.detach(), *(leaf.grad for leaf in leaves)), strict=True
    ):
        # sums of at most 2000 terms in float64, in another order: some 1e-14 of the largest element at worst
        assert worst(ours, theirs.numpy()) <= 1e-12 * size(ours)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_reference(backend: str, shape: tuple[int, ...], weighted: bool, dtype: Any) -> None:
    """As the cells' (cases.assert_agrees): 1e-12 in float64, 3 times the reference's own error in float32."""
    arguments = list(make("softmax", *shape, dtype))
    if not weighted:
        arguments[4] = None
    wide = [a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in arguments]

    def everything(arguments: list[Any], backend: str) -> list[Array]:
        each, gradients = kernels.softmax_cross_entropy(*arguments, backend=backend)
        assert gradients is not None
        return [each, *gradients]

    expected = everything(wide, "reference")
    reference = everything(arguments, "reference")
    for name, found, own, exact in zip(
        ("losses", "dh", "dWy", "dby"), everything(arguments, backend), reference, expected, strict=True
    ):
        assert found.dtype == dtype
        # unlike a cell's, these gradients may all be far below 1, being means: measured against themselves
        largest = np.abs(exact).max()
        floor = (1e-12 if dtype == np.float64 else 8 * np.finfo(dtype).eps) * largest
        assert worst(found, exact) <= 3 * worst(own, exact) + floor, name


@pytest.mark.parametrize("unit", UNITS)
def test_one_row_in_plain_numbers(unit: str) -> None:
    h, Wy, by, targets, _ = make(unit, 1, 2, 3)
    z = [float(by[v] + sum(Wy[v, k] * h[0, k] for k in range(2))) for v in range(3)]
    if unit == "softmax":
        total = sum(math.exp(zv) for zv in z)
        expected = -math.log(math.exp(z[targets[0]]) / total)
        y = [math.exp(zv) / total for zv in z]
        t = [float(v == targets[0]) for v in range(3)]
    else:
        t = [float(tv) for tv in targets[0]]
        y = [1 / (1 + math.exp(-zv)) for zv in z] if unit == "sigmoid" else z
        pairs = list(zip(y, t, strict=True))
        if unit == "sigmoid":
            expected = -sum(tv * math.log(yv) + (1 - tv) * math.log(1 - yv) for yv, tv in pairs)
        else:
            expected = sum((yv - tv) ** 2 for yv, tv in pairs) / 2
    found, gradients = UNITS[unit](h, Wy, by, targets)
    np.testing.assert_allclose(found, [expected], rtol=1e-13)
    assert gradients is not None
    np.testing.assert_allclose(gradients.dby, np.subtract(y, t), rtol=1e-12)


def test_logits_of_a_thousand_are_exact_and_silent(backend: str) -> None:
    """No overflow (a warning is an error here), and a loss of 2000 nats is that."""
    by = np.array([1000.0, -1000.0, 999.0])
    h, Wy = np.zeros((2, 1)), np.zeros((3, 1))
    found, gradients = kernels.softmax_cross_entropy(h, Wy, by, np.array([1, 0]), backend=backend)
    tail = math.log1p(math.exp(-1))
    np.testing.assert_allclose(found, [2000 + tail, tail], rtol=1e-14)
    assert gradients is not None
    y = [1 / (1 + math.exp(-1)), 0, 1 / (1 + math.e)]
    np.testing.assert_allclose(gradients.dby, [y[0] - 0.5, -0.5, y[2]], rtol=1e-14)


def test_a_small_binary_loss_keeps_its_digits() -> None:
    by, targets = np.array([40.0, -1000.0, 1000.0]), np.array([[1.0, 0.0, 0.0]])
    found, gradients = losses.sigmoid_binary_cross_entropy(np.zeros((1, 1)), np.zeros((3, 1)), by, targets)
    np.testing.assert_allclose(found, [1000.0])
    assert gradients is not None
    np.testing.assert_allclose(gradients.dby, [-math.exp(-40), 0, 1], atol=1e-16)
    sure = np.full(3, 40.0)
    small = losses.sigmoid_binary_cross_entropy(np.zeros((1, 1)), np.zeros((3, 1)), sure, np.ones((1, 3)))[0]
    np.testing.assert_allclose(small, [3 * math.exp(-40)], rtol=1e-14)


@pytest.mark.parametrize("unit", UNITS)
def test_without_gradient_the_losses_are_the_same(unit: str) -> None:
    arguments = make(unit, 5, 3, 4)
    found, gradients = UNITS[unit](*arguments, gradient=False)
    assert gradients is None
    np.testing.assert_array_equal(found, UNITS[unit](*arguments)[0])


def test_without_gradient_on_either_side(backend: str) -> None:
    h, Wy, by, targets, weights = make("softmax", 33, 16, 17)
    found, gradients = kernels.softmax_cross_entropy(
        h, Wy, by, targets, weights, gradient=False, backend=backend
    )
    assert gradients is None
    np.testing.assert_array_equal(
        found, kernels.softmax_cross_entropy(h, Wy, by, targets, weights, backend=backend)[0]
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint64])
def test_targets_of_any_integer_type(backend: str, dtype: Any) -> None:
    h, Wy, by, targets, _ = make("softmax", 7, 3, 5)
    expected = losses.softmax_cross_entropy(h, Wy, by, targets)[0]
    found = kernels.softmax_cross_entropy(h, Wy, by, targets.astype(dtype), backend=backend)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_no_rows_no_loss() -> None:
    for unit in UNITS:
        h, Wy, by, targets, _ = make(unit, 0, 3, 4)
        found, gradients = UNITS[unit](h, Wy, by, targets)
        assert gradients is not None
        assert found.shape == (0,)
        assert not gradients.dWy.any()
        assert gradients.dh.shape == (0, 3)


def test_inputs_are_left_alone(backend: str) -> None:
    inputs = make("softmax", 7, 3, 5)
    before = [a.copy() for a in inputs]
    for a in inputs:
        a.flags.writeable = False
    found, gradients = kernels.softmax_cross_entropy(*inputs, backend=backend)
    assert gradients is not None
    assert all(np.array_equal(a, b) for a, b in zip(inputs, before, strict=True))
    assert not any(np.may_share_memory(a, b) for a in inputs for b in (found, *gradients))


REFUSED = [
    ({"h": np.zeros((7, 4))}, "h has shape (7, 4); expected (R, H) = (7, 3)"),
    ({"h": np.zeros(3)}, "h has shape (3,); expected (R, H)"),
    ({"h": np.zeros((7, 3), "f")}, "h is float32; expected float64 as Wy is"),
    ({"Wy": np.zeros(5)}, "Wy has shape (5,); expected (V, H)"),
    ({"by": np.zeros(4)}, "by has shape (4,); expected (V,) = (5,)"),
    ({"by": None}, "by is a NoneType; expected a NumPy array"),
    ({"targets": np.zeros(6, int)}, "targets has shape (6,); expected (R,) = (7,)"),
    ({"targets": np.zeros(7)}, "targets is float64; expected integers"),
    ({"targets": np.arange(7) - 1}, "targets has values from -1 to 5; expected 0 to V - 1 = 4"),
    ({"weights": np.zeros(5)}, "weights has shape (5,); expected (R,) = (7,)"),
    ({"weights": np.zeros(7, int)}, "weights is int64; expected float64 as Wy is"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_bad_input_is_refused_in_one_line(backend: str, change: dict[str, Any], message: str) -> None:
    names = ("h", "Wy", "by", "targets", "weights")
    arguments = dict(zip(names, make("softmax", 7, 3, 5), strict=True))
    with pytest.raises(UsageError) as error:
        kernels.softmax_cross_entropy(**(arguments | change), backend=backend)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("unit", "targets", "message"),
    [
        ("sigmoid", np.full((7, 5), 1.5), "targets has values from 1.5 to 1.5; expected 0 to 1"),
        ("sigmoid", np.full((7, 5), np.nan), "targets has values from nan to nan; expected 0 to 1"),
        ("linear", np.zeros((7, 4)), "targets has shape (7, 4); expected (R, V) = (7, 5)"),
        ("linear", np.zeros((7, 5), int), "targets is int64; expected float64 as Wy is"),
    ],
)
def test_bad_targets_are_refused_in_one_line(unit: str, targets: Any, message: str) -> None:
    h, Wy, by, _, _ = make(unit, 7, 3, 5)
    with pytest.raises(UsageError) as error:
        UNITS[unit](h, Wy, by, targets)
    assert str(error.value) == message
