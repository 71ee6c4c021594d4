"""Random calls, right and wrong, at the two doors of the engine: ``backtime.kernels`` and the bare bindings.

What is right gives the reference's answer; what is wrong is refused by a Python exception; nothing crashes.
The calls are the same in each run; ``--hypothesis-seed=N`` of pytest draws others, ``BACKTIME_FUZZ=N`` draws
N times as many.
"""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agreement import assert_agrees
from backtime import kernels
from backtime.errors import UsageError
from backtime.reference.weights import Weights
from cases import CELLS, Case, engine_or_skip, make, train_step

TIMES = int(os.environ.get("BACKTIME_FUZZ", "1"))
HAS = set(inspect.signature(kernels.forward).parameters)  # batch_sizes, reverse: tried once they are there
REFUSALS = (UsageError, ValueError, TypeError)


def fuzz(examples: int) -> Any:
    return settings(
        max_examples=examples * TIMES,
        deadline=None,
        derandomize=not any(a.startswith("--hypothesis-seed") for a in sys.argv),
        database=None,
        suppress_health_check=list(HealthCheck),
    )


# How an array may lie in memory: the same numbers each time.
LAYOUTS = {
    "plain": np.array,
    "columns first": np.asfortranarray,
    "read-only": lambda a: _read_only(a.copy()),
    "every second": lambda a: _spread(a, 2),
    "backwards": lambda a: _spread(a, -1),
    "unaligned": lambda a: _unaligned(a),
}


def _read_only(a: Any) -> Any:
    a.flags.writeable = False
    return a


def _spread(a: Any, step: int) -> Any:
    wide = np.zeros((*a.shape[:-1], a.shape[-1] * abs(step)), a.dtype)
    wide[..., ::step] = a
    return wide[..., ::step]


def _unaligned(a: Any) -> Any:
    out = np.frombuffer(bytearray(a.nbytes + 1), np.uint8)[1:].view(a.dtype).reshape(a.shape)
    out[...] = a
    return out


sizes = st.tuples(st.integers(1, 7), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
layouts = st.sampled_from(sorted(LAYOUTS))
OPTIONS = {
    "rnn": [{"activation": name} for name in ("tanh", "relu", "sigmoid", "identity")],
    "gru": [{}],
    "lstm": [{}],
}


def relaid(part: Any, draw: Any) -> Any:
    if isinstance(part, np.ndarray):
        return LAYOUTS[draw(layouts)](part)
    parts = [relaid(one, draw) for one in part if one is not None]
    return Weights(*parts) if isinstance(part, Weights) else tuple(parts)


@fuzz(800)
@given(data=st.data())
def test_a_right_call_is_answered_as_the_reference_answers(data: Any) -> None:
    engine_or_skip()
    cell = data.draw(st.sampled_from(sorted(OPTIONS)))
    options = data.draw(st.sampled_from(OPTIONS[cell]))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    case = make(cell, *data.draw(sizes), dtype=dtype, one_hot=data.draw(st.booleans()))
    if options.get("activation") in ("relu", "identity"):  # keep what is unbounded from growing
        case = case._replace(weights=case.weights._replace(Wh=case.weights.Wh / 4))
    if case.x.dtype.kind == "i":
        integer = data.draw(st.sampled_from([np.int64, np.int32, np.uint8, np.uint64]))
        case = case._replace(x=case.x.astype(integer))
    threads = kernels.engine_info()["threads"]
    kernels.set_threads(data.draw(st.integers(1, 3)))
    try:
        assert_agrees(cell, Case(*(relaid(part, data.draw) for part in case)), "native", **options)
    finally:
        kernels.set_threads(threads)


@pytest.mark.skipif("batch_sizes" not in HAS, reason="kernels.forward takes no batch_sizes")
@fuzz(100)
@given(data=st.data())
def test_packed_rows_are_answered_as_the_reference_answers(data: Any) -> None:
    engine_or_skip()
    cell = data.draw(st.sampled_from(sorted(OPTIONS)))
    sizes = sorted(data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=6)), reverse=True)
    unused, I, H = data.draw(st.tuples(st.integers(0, 3), st.integers(1, 20), st.integers(1, 40)))
    case = make(cell, 1, sum(sizes), I, H)
    state = make(cell, 1, sizes[0] + unused, I, H).state
    options = {"batch_sizes": np.array(sizes, np.int64)} | (
        {"reverse": data.draw(st.booleans())} if "reverse" in HAS else {}
    )
    found = []
    for backend in ("native", "reference"):
        y, last, tape = kernels.forward(cell, case.x[0], state, case.weights, backend=backend, **options)
        dx, dstate, dweights = kernels.backward(tape, case.dy[0], state)
        found.append([y, *last, dx, *dstate, *(d for d in dweights if d is not None)])
    for ours, theirs in zip(*found, strict=True):  # float64: see agreement.assert_agrees
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13 * max(1, np.abs(theirs).max()))


# What no argument can be, by what is wrong with it. The call must be refused whoever answers it.
SPOILED = {
    "None": lambda a: None,
    "a list": lambda a: a.tolist(),
    "a string": lambda a: "lstm",
    "a number": lambda a: 3,
    "an object": lambda a: object(),
    "objects": lambda a: a.astype(object),
    "complex": lambda a: a.astype(complex),
    "booleans": lambda a: a > 0,
    "another float": lambda a: a.astype(np.float16),
    "an axis more": lambda a: a[..., None],
    "an axis less": lambda a: a[0],
    "no axis": lambda a: np.array(a.flat[0]),
    "one longer": lambda a: np.concatenate([a, a[..., :1]], -1),
    "empty": lambda a: a[..., :0],
    "many axes": lambda a: a.reshape((1,) * 20 + a.shape),
    "huge": lambda a: np.broadcast_to(a.flat[0], (2**20, 2**20, 2**20)),
    "a date": lambda a: a.astype("M8[s]"),
    "a record": lambda a: np.zeros(a.shape, [("h", "f4")]),
}
PLACES = ["x", "h0", "c0", "Wx", "Wh", "bx", "bh", "dy", "dh", "dc"]
OPTIONAL = {"h0", "c0", "dy", "dh", "dc"}  # None is right there


def spoil(case: Case, place: str, wrong: Any) -> Case:
    if place == "x":
        return case._replace(x=wrong(case.x))
    if place == "dy":
        return case._replace(dy=wrong(case.dy))
    if place in Weights._fields:
        weights = case.weights._replace(**{place: wrong(getattr(case.weights, place))})
        return case._replace(weights=weights)
    field, n = ("dstate", "dh dc") if place[0] == "d" else ("state", "h0 c0")
    parts = list(getattr(case, field))
    index = n.split().index(place)
    parts[index] = wrong(parts[index])
    return case._replace(**{field: tuple(parts)})


@pytest.mark.parametrize("place", PLACES)
@fuzz(40)
@given(data=st.data())
def test_a_wrong_call_is_refused_by_name(place: str, backend: str, data: Any) -> None:
    cell = "lstm" if place in ("c0", "dc") else data.draw(st.sampled_from(sorted(OPTIONS)))
    what = data.draw(st.sampled_from([w for w in sorted(SPOILED) if w != "None" or place not in OPTIONAL]))
    case = spoil(make(cell, 3, 2, 4, 5, dtype=np.float32), place, SPOILED[what])
    blamed = "Wx|Wh|x" if place == "Wx" else place  # Wx says what I and the type are: the others do not fit
    with pytest.raises(UsageError, match=f"^({blamed}) "):
        train_step(cell, case, backend)


WRONG_OPTIONS: dict[str, list[Any]] = {
    "cell": ["", "LSTM", "elman", None, 3, b"lstm"],
    "activation": ["", "softplus", None, 3, object()],
    "reset_after": [np.ones(3)],
    "batch_sizes": [[2, 1], np.array([1, 2]), np.array([2, 0]), np.array([-1]), np.array([2.0]), "2", 3],
    "reverse": [np.ones(3)],
    "backend": ["", "cuda", None, 3],
    "nonsense": [1],
}
KNOWN = [name for name in WRONG_OPTIONS if name not in ("batch_sizes", "reverse") or name in HAS]


@pytest.mark.parametrize("name", KNOWN)
def test_a_wrong_option_is_refused(name: str) -> None:
    owner = "rnn" if name == "activation" else "gru" if name == "reset_after" else "lstm"
    case = make(owner, 3, 2, 4, 5)
    accepted = []
    for value in WRONG_OPTIONS[name]:
        cell = value if name == "cell" else owner
        options = {} if name == "cell" else {name: value}
        try:
            kernels.forward(cell, case.x, case.state, case.weights, **options)
        except REFUSALS:
            continue
        accepted.append(value)
    assert not accepted


def test_the_bare_bindings_do_not_crash() -> None:
    """fuzz_bindings.py prints each call before it makes it; the last one printed is the one that crashed."""
    engine_or_skip()
    folder = Path(__file__).parent
    path = os.pathsep.join(p for p in (str(folder), *sys.path) if p)
    done = subprocess.run(
        [sys.executable, str(folder / "fuzz_bindings.py"), str(8000 * TIMES)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120 * TIMES,
    )
    assert done.returncode == 0, "\n".join([*done.stdout.splitlines()[-1:], done.stderr[-3000:]])


def test_every_cell_is_tried() -> None:
    assert set(OPTIONS) <= set(CELLS)
