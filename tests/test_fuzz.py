"""Random calls, right and wrong, at the two doors of the engine: ``backtime.kernels`` and the bare bindings.

What is right gives the reference's answer; what is wrong is refused by a Python exception; nothing crashes.
The calls are the same in each run; ``--hypothesis-seed=N`` of pytest draws others, ``BACKTIME_FUZZ=N`` draws
N times as many.
"""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agreement import size, worst
from backtime import kernels
from backtime.errors import UsageError
from backtime.reference.weights import Weights
from cases import CELLS, OPTION_CASES, WEIGHTS, Case, OptionCase, engine_or_skip, make, pack, train_step

TIMES = int(os.environ.get("BACKTIME_FUZZ", "1"))


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


SIZES = st.tuples(st.integers(1, 7), st.integers(1, 33), st.integers(1, 40), st.integers(1, 40))
# float64: sums in other orders, layer norm divides by a deviation that may be small. float32 is held closer
# by test_accuracy.py and test_engine_options.py; here a wrong term or element is to be seen, off by 1e-2.
# Over 4000 calls the need was for 8e-13 and 5e-5.
CLOSE = {np.dtype(np.float64): 1e-11, np.dtype(np.float32): 5e-4}
EXTRAS = {"rnn": ["norm"], "gru": ["norm"], "lstm": ["Wy", "p", "norm"], "jordan": ["norm"]}
BY_STEP = {"rnn": ["keep_h"], "gru": ["keep_h"], "lstm": ["keep_h", "keep_c"], "jordan": []}


def relaid(part: Any, chance: random.Random) -> Any:
    """The same numbers in other places, whatever holds them."""
    if isinstance(part, np.ndarray):
        return LAYOUTS[chance.choice(sorted(LAYOUTS))](part)
    if isinstance(part, dict):
        return {name: relaid(value, chance) for name, value in part.items()}
    if isinstance(part, Weights | Case):
        return type(part)(*(relaid(one, chance) for one in part))
    return tuple(relaid(one, chance) for one in part) if isinstance(part, tuple) else part


def subset(data: Any, names: list[str]) -> tuple[str, ...]:
    return tuple(name for name in names if data.draw(st.booleans()))


def combination(data: Any, smooth: bool) -> OptionCase:
    """Options that may stand together, any number of them."""
    cell = data.draw(st.sampled_from(sorted(CELLS)))
    extras, arrays = subset(data, EXTRAS[cell]), subset(data, [*BY_STEP[cell], "h_mask", "reset"])
    numbers: dict[str, Any] = {name: 0.3 for name in subset(data, BY_STEP[cell]) if name not in arrays}
    functions = st.sampled_from(["tanh", "sigmoid"] if smooth else ["tanh", "relu", "sigmoid", "identity"])
    if cell in ("rnn", "jordan"):
        numbers["activation"] = data.draw(functions)
    if cell == "jordan":
        numbers["output_activation"] = data.draw(functions)
    if cell == "gru" and not extras:
        numbers["reset_after"] = data.draw(st.booleans())
    if cell == "lstm" and "norm" not in extras:
        numbers["coupled"] = data.draw(st.booleans())
    return OptionCase(cell, extras, numbers, arrays)


def drawn(data: Any) -> tuple[str, list[Case], dict[str, Any]]:
    """A call: the cell, the layer of each direction, and the options of both, dense or packed."""
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    sort = data.draw(st.one_of(st.sampled_from(list(OPTION_CASES.values())), st.just(None)))
    sort = sort or combination(data, dtype == np.float32)
    T, B, I, H = data.draw(SIZES)
    one_hot, lengths = data.draw(st.booleans()), None
    if data.draw(st.booleans()):
        lengths = np.array(data.draw(st.lists(st.integers(0, T), min_size=B, max_size=B)))
        lengths[data.draw(st.integers(0, B - 1))] = T
    cases = []
    for seed in range(1 + data.draw(st.booleans())):
        case, options = sort.build(T, B, I, H, dtype, one_hot, seed)
        if {"relu", "identity"} & {v for v in sort.numbers.values() if isinstance(v, str)}:
            case = case._replace(
                weights=case.weights._replace(Wh=case.weights.Wh / 4)
            )  # keeps it from growing
        if lengths is not None:
            case, options = pack(case, options, lengths)
        cases.append(case)
    return sort.cell, cases, options


# Parts of the first state and of the last one's gradient: None for each of them is zeros.
PARTS = st.sampled_from([(field, part) for field in ("state", "dstate") for part in (0, 1)])


def without(case: Case, places: set[tuple[str, int]], nothing: Any) -> Case:
    """The case with ``nothing(part)`` in those places that it has."""
    for field, index in places:
        parts = [nothing(part) if n == index else part for n, part in enumerate(getattr(case, field))]
        case = case._replace(**{field: tuple(parts)})
    return case


def answer(cell: str, cases: list[Case], options: dict[str, Any], backend: str, reverse: bool) -> list[Any]:
    """Everything that a call computes, of one direction or of two."""
    if len(cases) == 1:
        return list(train_step(cell, cases[0], backend, reverse=reverse, **options).values())
    own = {name: value for name, value in options.items() if name != "batch_sizes"}
    first, second = cases
    y, lasts, tapes = kernels.forward_both(
        cell, first.x, (first.state, second.state), (first.weights, second.weights),
        batch_sizes=options.get("batch_sizes"), backend=backend, options=(own, own),
    )  # fmt: skip
    dy = np.concatenate([first.dy, second.dy], -1)
    dx, dstates, dweights = kernels.backward_both(tapes, dy, (first.dstate, second.dstate))
    pairs = [part for pair in (lasts, dstates, dweights) for parts in pair for part in parts or ()]
    return [a for a in (y, dx, *pairs) if a is not None]


@pytest.mark.slow
@fuzz(1000)
@given(data=st.data())
def test_a_right_call_is_answered_as_the_reference_answers(data: Any) -> None:
    engine_or_skip()
    cell, cases, options = drawn(data)
    reverse, chance = data.draw(st.booleans()), random.Random(data.draw(st.integers(0, 2**32)))
    places = data.draw(st.sets(PARTS)) - ({("state", 0)} if "batch_sizes" in options else set())  # it says B
    expected = answer(
        cell, [without(case, places, np.zeros_like) for case in cases], options, "reference", reverse
    )
    cases = [without(case, places, lambda _: None) for case in cases]
    if cases[0].x.dtype.kind == "i":
        integer = chance.choice([np.int64, np.int32, np.uint8, np.uint64])
        cases = [case._replace(x=case.x.astype(integer)) for case in cases]
    threads = kernels.engine_info()["threads"]
    kernels.set_threads(chance.randrange(1, 4))
    try:
        found = answer(
            cell, [relaid(case, chance) for case in cases], relaid(options, chance), "native", reverse
        )
    finally:
        kernels.set_threads(threads)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert worst(ours, theirs) <= CLOSE[theirs.dtype] * size(theirs)


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
    "huge": lambda a: np.broadcast_to(a.flat[0], (2**20, 2**20, 2**18)),
    "a date": lambda a: a.astype("M8[s]"),
    "a record": lambda a: np.zeros(a.shape, [("h", "f4")]),
}
OPTIONAL = {"h0", "c0", "dy", "dh", "dc", "h_mask", "reset"}  # None is right there
OPTIONAL |= set(WEIGHTS[4:])  # and here switches an option off
ALL = {cell: OPTION_CASES[f"{cell} all"] for cell in CELLS if cell != "lstm"}
ALL["lstm"] = OPTION_CASES["lstm everything"]
PLACES = {place: sorted(ALL) for place in ("x", "h0", "Wx", "Wh", "bx", "bh", "dy", "dh", "gx", "gh")}
PLACES |= {place: sorted(ALL) for place in ("h_mask", "reset", "batch_sizes")}
PLACES |= {place: ["lstm"] for place in ("c0", "dc", "p", "gc", "bc", "keep_c")}
PLACES |= {"Wy": ["jordan", "lstm"], "by": ["jordan"], "keep_h": ["rnn", "gru", "lstm"]}
# What says the sizes or the type of the rest: where it is wrong, the rest does not fit.
BLAMED = {"Wx": "Wx|Wh|x", "Wh": "Wh|Wy", "Wy": "Wy|Wx|Wh|by", "batch_sizes": "batch_sizes|x"}


def spoil(case: Case, options: dict[str, Any], place: str, wrong: Any) -> tuple[Case, dict[str, Any]]:
    if place in options:
        return case, {**options, place: wrong(options[place])}
    if place in Case._fields:
        return case._replace(**{place: wrong(getattr(case, place))}), options
    if place in WEIGHTS:
        weights = case.weights._replace(**{place: wrong(getattr(case.weights, place))})
        return case._replace(weights=weights), options
    field, n = ("dstate", "dh dc") if place[0] == "d" else ("state", "h0 c0")
    parts = list(getattr(case, field))
    index = n.split().index(place)
    parts[index] = wrong(parts[index])
    return case._replace(**{field: tuple(parts)}), options


@pytest.mark.parametrize("place", PLACES)
@fuzz(25)
@given(data=st.data())
def test_a_wrong_call_is_refused_by_name(place: str, backend: str, data: Any) -> None:
    cell = data.draw(st.sampled_from(PLACES[place]))
    what = data.draw(st.sampled_from([w for w in sorted(SPOILED) if w != "None" or place not in OPTIONAL]))
    assume((place, what) not in {("reset", "booleans"), ("reset", "a date"), ("batch_sizes", "None")})
    case, options = ALL[cell].build(3, 2, 4, 5, np.float32)
    if place == "batch_sizes" or data.draw(st.booleans()):
        case, options = pack(case, options, np.array([2, 3]))
    case, options = spoil(case, options, place, SPOILED[what])
    name = {"h0": "y0", "dh": "dy"}.get(place, place) if cell == "jordan" else place
    with pytest.raises(UsageError, match=f"^({BLAMED.get(place, name)}) "):
        train_step(cell, case, backend, **options)


WRONG_OPTIONS: dict[str, list[Any]] = {
    "cell": ["", "LSTM", "elman", None, 3, b"lstm"],
    "activation": ["", "softplus", None, 3, object()],
    "output_activation": ["", "softplus", None, 3, object()],
    "reset_after": [np.ones(3), None, "yes", 1],
    "coupled": [np.ones(3), None, "yes", 1],
    "keep_h": [-0.1, 1.5, float("nan"), "0.5", None, True, [0.5]],
    "keep_c": [-0.1, 1.5, float("nan"), "0.5", None, True, [0.5]],
    "batch_sizes": [[2, 1], np.array([1, 2]), np.array([2, 0]), np.array([-1]), np.array([2.0]), "2", 3],
    "backend": ["", "cuda", None, 3],
    "nonsense": [1],
}
OWNERS = {"activation": "rnn", "output_activation": "jordan", "reset_after": "gru"}


@pytest.mark.parametrize("name", WRONG_OPTIONS)
def test_a_wrong_option_is_refused_by_name(name: str) -> None:
    owner = OWNERS.get(name, "lstm")
    case = make(owner, 3, 2, 4, 5)
    for value in WRONG_OPTIONS[name]:
        cell, options = (value, {}) if name == "cell" else (owner, {name: value})
        with pytest.raises(UsageError, match=name):
            kernels.forward(cell, case.x, case.state, case.weights, **options)


@pytest.mark.slow
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
