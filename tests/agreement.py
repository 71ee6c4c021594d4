"""What has to hold for every cell: the checks that tests/test_<cell>.py make, and how close is close."""

from typing import Any

import numpy as np

from backtime import kernels
from backtime.reference.weights import Array, Weights, each
from cases import STATE, Case, cast, cast_options, make, train_step
from numeric import check_gradients

# torch sums in another order with other functions, in float64 through at most 7 steps: a few 1e-15 each
TORCH_TOLERANCE = 1e-13


def check_layer(cell: str, case: Case, backend: str, **options: Any) -> None:
    """Numeric differentiation of y and the last state by x, the first state and every weight."""
    names = STATE[cell]
    given = existing(case.weights)
    arguments = {**dict(zip(names, case.state, strict=True)), **given}
    if case.x.dtype.kind == "f":
        arguments["x"] = case.x

    def run(values: dict[str, Array]) -> tuple[Array, tuple[Array, ...], Any]:
        weights = Weights(**{name: values[name] for name in given})
        state = tuple(values[name] for name in names)
        x = values.get("x", case.x)
        return kernels.forward(cell, x, state, weights, backend=backend, **options)

    def forward(**values: Array) -> tuple[Array, ...]:
        y, last, _ = run(values)
        return y, *last

    def backward(dy: Array, *dlast: Array, **values: Array) -> dict[str, Array]:
        dx, dstate, dweights = kernels.backward(run(values)[2], dy, dlast)
        found = {**dict(zip(names, dstate, strict=True)), **existing(dweights)}
        return found if dx is None else found | {"x": dx}

    check_gradients(forward, backward, arguments)


def assert_close(found: dict[str, Array], expected: dict[str, Array], tolerance: float) -> None:
    """Each array within ``tolerance`` of its largest element, or of 1 where that is smaller."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        deviation = worst(found[name], value)
        assert deviation <= tolerance * size(value), f"{name} deviates by {deviation:.3g}"


def assert_agrees(cell: str, case: Case, backend: str, **options: Any) -> None:
    """``backend`` against the reference in float64, on the same numbers.

    float64: both sum at most some 300 products in different orders, with functions within 4 ulp, through
    at most 7 steps; that is some 1e-14 of the largest element (3e-15 measured). A wrong term is off by 1e-3
    and more.
    float32: twice the error that the reference itself makes in float32, plus 6 ulp of the largest element:
    the reference's products are BLAS's, in several chains, the engine's is one chain over k, and the worst
    of a thousand elements is some times the typical one (the need at these shapes is for 4.1).
    """
    expected = train_step(cell, cast(case, np.float64), **cast_options(options, np.float64))
    found = train_step(cell, case, backend, **options)
    if case.weights.Wh.dtype == np.float64:
        assert_close(found, expected, 1e-13)
        return
    reference = train_step(cell, case, **options)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == np.float32, name
        error, allowed = worst(found[name], value), worst(reference[name], value)
        floor = 6 * np.finfo(np.float32).eps * size(value)
        assert error <= 2 * allowed + floor, f"{name} errs by {error:.3g}, the reference by {allowed:.3g}"


def assert_chunks_are_the_whole(cell: str, given: Case | None = None, **options: Any) -> None:
    """A sequence in pieces, the state handed on, its gradient handed back, is the sequence at once.

    Exactly, for everything that is computed step by step; the weights' gradients are sums over the steps,
    whose order the pieces change.
    """
    case = given or make(cell, 7, 3, 4, 5)
    whole = train_step(cell, case, **options)
    state: Any = case.state
    saved, ys = [], []
    for piece in (slice(0, 1), slice(1, 5), slice(5, 7)):
        own = {
            name: value[piece] if isinstance(value, np.ndarray) and name != "h_mask" else value
            for name, value in options.items()
        }
        y, state, tape = kernels.forward(cell, case.x[piece], state, case.weights, backend="reference", **own)
        ys.append(y)
        saved.append((piece, tape))
    dstate: Any = case.dstate
    dxs, total = [], each(np.zeros_like, case.weights)
    for piece, tape in reversed(saved):
        assert tape is not None
        dx, dstate, dweights = kernels.backward(tape, case.dy[piece], dstate)
        dxs.insert(0, dx)
        total = each(np.add, total, dweights)
    assert np.array_equal(np.concatenate(ys), whole["y"])
    assert np.array_equal(np.concatenate(dxs), whole["dx"])
    for name, end, start in zip(STATE[cell], state, dstate, strict=True):
        assert np.array_equal(end, whole[f"{name[0]}T"])
        assert np.array_equal(start, whole[f"d{name}"])
    sums = {f"d{name}": value for name, value in existing(total).items()}
    assert_close(sums, {name: whole[name] for name in sums}, 1e-14)


def assert_one_hot_is_vectors(cell: str, backend: str, **options: Any) -> None:
    """Integers give what their unit vectors give, whatever integer type they have; repeated ones add up."""
    case = make(cell, 4, 5, 3, 6, one_hot=True)
    vectors = train_step(cell, case._replace(x=np.eye(3)[case.x]), backend, **options)
    del vectors["dx"]
    for dtype in (np.int64, np.int32, np.uint8, np.uint16):
        found = train_step(cell, case._replace(x=case.x.astype(dtype)), backend, **options)
        assert_close(found, vectors, 1e-14)


def assert_none_is_zeros(cell: str, backend: str, **options: Any) -> None:
    """No state, no dy, no dstate or no part of one: as if zeros had been given."""
    case = make(cell, 3, 2, 4, 5)
    zeros = tuple(map(np.zeros_like, case.state))
    y, _, tape = kernels.forward(cell, case.x, None, case.weights, backend=backend, **options)
    assert np.array_equal(y, train_step(cell, case._replace(state=zeros), backend, **options)["y"])
    nones = (None,) * len(zeros)
    partial = [(None, *case.dstate[1:])] if len(zeros) == 2 else []
    for dy, dstate in [(None, case.dstate), (case.dy, None), (case.dy, nones), (None, None)] + [
        (case.dy, p) for p in partial
    ]:
        found = kernels.backward(tape, dy, dstate)
        full = [z if d is None else d for d, z in zip(dstate or nones, zeros, strict=True)]
        expected = kernels.backward(tape, np.zeros_like(case.dy) if dy is None else dy, tuple(full))
        for a, b in zip(flat(found), flat(expected), strict=True):
            assert np.array_equal(a, b)


def assert_inputs_are_left_alone(cell: str, backend: str, **options: Any) -> None:
    """No input is written to, and no output is a view of an input or of another output."""
    case = make(cell, 3, 2, 4, 5)
    inputs = [case.x, *case.state, *existing(case.weights).values(), case.dy, *case.dstate]
    before = [a.copy() for a in inputs]
    for a in inputs:
        a.flags.writeable = False
    outputs = list(train_step(cell, case, backend, **options).values())
    assert all(np.array_equal(a, b) for a, b in zip(inputs, before, strict=True))
    for n, output in enumerate(outputs):
        assert not any(np.may_share_memory(output, other) for other in inputs + outputs[:n])


def assert_empty_is_no_step(cell: str, **options: Any) -> None:
    """T = 0 hands the state through, forward and back; B = 0 has nothing to say."""
    case = make(cell, 0, 2, 4, 5)
    no_steps = train_step(cell, case, **options)
    no_rows = train_step(cell, make(cell, 3, 0, 4, 5), **options)
    for n, name in enumerate(STATE[cell]):
        assert np.array_equal(no_steps[f"{name[0]}T"], case.state[n])
        assert np.array_equal(no_steps[f"d{name}"], case.dstate[n])
    for found in (no_steps, no_rows):
        assert not any(found[f"d{name}"].any() for name in existing(case.weights))


def existing(weights: Weights) -> dict[str, Array]:
    """The weights that there are, by name."""
    return {name: value for name, value in weights._asdict().items() if value is not None}


def flat(gradients: Any) -> list[Array]:
    return [gradients.dx, *gradients.dstate, *existing(gradients.dweights).values()]


def worst(a: Array, b: Array) -> float:
    """The largest deviation; NaN, which no bound admits, when there is one."""
    assert a.shape == b.shape
    return float(np.abs(a - b).max(initial=0.0))


def size(value: Array) -> float:
    return max(1.0, float(np.abs(value).max(initial=0.0)))
