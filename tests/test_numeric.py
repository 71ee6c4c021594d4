"""The gradient checker is itself checked: it passes what is right and catches, by name, what is not."""

import inspect
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from agreement import check_layer
from backtime import kernels
from backtime.reference.weights import Array
from cases import CELLS, OPTION_CASES, make
from numeric import check_gradients, numeric_gradient


def product(a: Array, b: Array) -> tuple[Array, ...]:
    return (a @ b, a.sum(0))


def product_backward(dy: Array, ds: Array, a: Array, b: Array) -> dict[str, Array]:
    return {"a": dy @ b.T + ds, "b": a.T @ dy}


@pytest.fixture
def arguments() -> dict[str, Array]:
    rng = np.random.default_rng(3)
    return {"a": rng.standard_normal((2, 3)), "b": rng.standard_normal((3, 4))}


def test_a_right_gradient_passes(arguments: dict[str, Array]) -> None:
    check_gradients(product, product_backward, arguments)


def test_the_difference_of_a_known_function() -> None:
    x = np.array([0.3, -2.0])
    found = numeric_gradient(lambda x: (x**3,), [np.array([1.0, 10.0])], {"x": x}, "x")
    np.testing.assert_allclose(found, [3 * 0.09, 10 * 3 * 4.0], rtol=0, atol=1e-8)  # |E| is 80


def spoil(name: str, how: str, gradients: dict[str, Array]) -> dict[str, Array]:
    value = gradients[name].copy()
    if how == "nan":
        value[0, 0] = np.nan
    elif how == "one element":
        value[-1, -1] += 1e-6
    elif how == "shape":
        value = value[:1]
    elif how == "absent":
        return {other: g for other, g in gradients.items() if other != name}
    else:
        value = -value
    return gradients | {name: value}


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("how", ["sign", "one element", "nan", "shape", "absent"])
def test_a_wrong_gradient_is_named_alone(arguments: dict[str, Array], name: str, how: str) -> None:
    def wrong(*cotangents: Array, **values: Array) -> dict[str, Array]:
        return spoil(name, how, product_backward(*cotangents, **values))

    with pytest.raises(AssertionError, match=rf"^d{name} .*$") as error:
        check_gradients(product, wrong, arguments)
    assert "\n" not in str(error.value)


def test_the_largest_deviation_and_its_place_are_told(arguments: dict[str, Array]) -> None:
    def wrong(*cotangents: Array, **values: Array) -> dict[str, Array]:
        found = product_backward(*cotangents, **values)
        found["b"][0, 1] += 0.25
        found["b"][2, 3] -= 0.5
        return found

    with pytest.raises(AssertionError, match=r"db deviates by 0\.5 at \(2, 3\)"):
        check_gradients(product, wrong, arguments)


def test_an_output_that_hands_nothing_back_is_caught(arguments: dict[str, Array]) -> None:
    with pytest.raises(AssertionError, match="da deviates"):
        check_gradients(product, lambda dy, ds, a, b: product_backward(dy, 0 * ds, a, b), arguments)


def test_a_gradient_of_nothing_is_caught(arguments: dict[str, Array]) -> None:
    with pytest.raises(AssertionError, match="c is given, but is no argument"):
        check_gradients(product, lambda *d, **values: product_backward(*d, **values) | {"c": d[0]}, arguments)


# One wrong term of a derivation each, and the gradients that must be called wrong, no others.
PLANTED: list[tuple[str, str, str, set[str], dict[str, Any]]] = [
    ("rnn", "dWh = rows(da)", "dWh = -rows(da)", {"dWh"}, {}),
    ("rnn", "dh = dh + dy[t]", "dh = dy[t]", {"dx", "dh0", "dWx", "dWh", "dbx", "dbh"}, {}),
    ("rnn", "masked(da[t] @ Wh,", "masked(da[t] @ Wh.T,", {"dx", "dh0", "dWx", "dWh", "dbx", "dbh"}, {}),
    ("lstm", "dWh = rows(da)", "dWh = -rows(da)", {"dWh"}, {}),
    ("lstm", "dc = dc * f\n", "dc = dc * o\n", {"dx", "dh0", "dc0", "dWx", "dWh", "dbx", "dbh"}, {}),
    ("lstm", "rows(da).T @ rows(hm)", "rows(da).T @ rows(hm[::-1])", {"dWh"}, {}),
    ("gru", "dWh = rows(da)", "dWh = -rows(da)", {"dWh"}, {}),
    ("gru", "dbx = dzx.sum((0, 1))", "dbx = dzh.sum((0, 1))", {"dbx"}, {}),
    ("gru", "dWh[2 * H :] = rows", "dWh[2 * H :] = -rows", {"dWh"}, {"reset_after": False}),
    ("gru", "rows(saved.gates[:, 3])", "rows(hm)", {"dWh"}, {"reset_after": False}),
]


@pytest.mark.parametrize(("cell", "right", "wrong", "caught", "options"), PLANTED)
def test_a_wrong_term_in_a_cell_is_caught(
    cell: str, right: str, wrong: str, caught: set[str], options: dict[str, Any], monkeypatch: Any
) -> None:
    source = inspect.getsource(CELLS[cell])
    assert source.count(right) == 1
    module = ModuleType(cell)
    exec(source.replace(right, wrong), module.__dict__)
    monkeypatch.setitem(kernels.CELLS, cell, module)
    with pytest.raises(AssertionError) as error:
        check_layer(cell, make(cell, 3, 2, 2, 3), "reference", **options)
    assert {line.split()[0] for line in str(error.value).splitlines()} == caught


# The same for the terms of the options: the case, one wrong term, what must be called wrong at the least.
PLANTED_OPTIONS: list[tuple[str, str, str, set[str]]] = [
    ("rnn norm", "dgh = product_gain(dz, hm", "dgh = product_gain(da, hm", {"dgh"}),
    ("rnn norm", "product_backward(dz, x, Wx, gx), x", "product_backward(dz, x, Wx), x", {"dx", "dWx"}),
    (
        "rnn norm",
        "product_backward(dz[t], hm[t], Wh, gh)",
        "product_backward(dz[t], hm[t], Wh)",
        {"dWh", "dh0"},
    ),
    ("rnn h_mask", "masked(da[t] @ Wh, options.h_mask)", "da[t] @ Wh", {"dh0"}),
    ("rnn h_mask", "hm = masked(before, options.h_mask)", "hm = before", {"dWh"}),
    ("rnn reset", "dh = options.enter(t, dh)", "pass", {"dh0"}),
    ("gru keep_h array", "enter(t, dh + dh_direct)", "enter(t, dh_direct)", {"dh0"}),
    ("gru h_mask", "dh + masked(dhm, h_mask)", "dh + dhm", {"dh0"}),
    ("gru norm", "dbx = dzx.sum", "dbx = da.sum", {"dbx"}),
    ("lstm peephole", "dc = dc + dzo * p[2]", "pass", {"dWx", "dc0"}),
    ("lstm peephole", "dc + dzi * p[0] + dzf * p[1]", "dc + dzi * p[0]", {"dc0"}),
    ("lstm peephole", "dzo * saved.c_new)", "dzo * saved.c_before)", {"dp"}),
    ("lstm projection", "dWy = rows(dh_new)", "dWy = -rows(dh_new)", {"dWy"}),
    ("lstm coupled", "di, df = di - df,", "di, df = di,", {"dWx", "dbx"}),
    ("lstm keep_c array", "dc = dc + dc_line", "dc = dc_line", {"dc0"}),
    ("lstm norm", "standard_backward(ds * gc, c_new)", "standard_backward(ds, c_new)", {"dc0", "dWx"}),
    ("lstm norm", "dbc = ds.sum", "dbc = -ds.sum", {"dbc"}),
    ("lstm reset", "options.enter(t, dc)", "dc", {"dc0"}),
    ("jordan plain", "dWy = rows(dv)", "dWy = -rows(dv)", {"dWy"}),
    ("jordan tanh of identity", "df(saved.y[t])", "df(saved.before[t])", {"dby", "dWy", "dx"}),
]


@pytest.mark.parametrize(("name", "right", "wrong", "caught"), PLANTED_OPTIONS)
def test_a_wrong_term_of_an_option_is_caught(
    name: str, right: str, wrong: str, caught: set[str], monkeypatch: Any
) -> None:
    cell = OPTION_CASES[name].cell
    source = inspect.getsource(CELLS[cell])
    assert source.count(right) == 1
    module = ModuleType(cell)
    exec(source.replace(right, wrong), module.__dict__)
    monkeypatch.setitem(kernels.CELLS, cell, module)
    case, options = OPTION_CASES[name].build(3, 2, 2, 3)
    with pytest.raises(AssertionError) as error:
        check_layer(cell, case, "reference", **options)
    assert {line.split()[0] for line in str(error.value).splitlines()} >= caught
