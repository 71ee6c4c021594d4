"""Random calls of the bare bindings, for test_fuzz.py: ``python fuzz_bindings.py N [SEED]`` makes N of them.

Each call is right but for up to two arguments. It may be answered or refused; a crash ends the process,
another exception or a wrong answer the program. A function joins by a line in CALLS: its arguments by name,
right ones.
"""

import random
import sys
from typing import Any

import numpy as np

from backtime import _engine
from backtime.reference.weights import Weights
from cases import make

REFUSALS = (TypeError, ValueError, MemoryError, OverflowError)
HUGE = [2**31, 2**61 + 1, 2**62, 2**63 - 1, 2**63, 2**64, -1, -(2**62), 0]
chance = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
T, B, I, H, V = 3, 2, 4, 5, 6


def spread(a: Any) -> Any:
    return np.repeat(a, 2, axis=-1)[..., ::2] if isinstance(a, np.ndarray) and a.ndim else a


def frozen(a: Any) -> Any:
    return np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) if isinstance(a, np.ndarray) else a


# name: (what is wrong, whether the numbers are still the same: then an answer must be the right one)
WRONG = {
    "nothing": (lambda a: None, False),
    "an object": (lambda a: object(), False),
    "a string": (lambda a: "lstm", False),
    "a number": (lambda a: chance.choice([*HUGE, 1.5, float("nan")]), False),
    "numbers": (lambda a: tuple(chance.choice([*HUGE, 1, 2]) for _ in range(chance.randrange(5))), False),
    "a short tuple": (lambda a: tuple(a)[: chance.randrange(4)] if np.iterable(a) else (), False),
    "nones": (lambda a: (None,) * 4, False),
    "a list": (lambda a: list(a) if np.iterable(a) else [a], True),
    "empty": (lambda a: a[..., :0] if isinstance(a, np.ndarray) else (), False),
    "longer": (lambda a: np.resize(a, 1000) if isinstance(a, np.ndarray) else a, False),
    "shorter": (lambda a: a.ravel()[1:] if isinstance(a, np.ndarray) else a, False),
    "another axis": (lambda a: a[None] if isinstance(a, np.ndarray) else a, True),
    "no axis": (lambda a: np.array(1.0), False),
    "float64": (lambda a: a.astype(np.float64) if isinstance(a, np.ndarray) else a, True),
    "objects": (lambda a: np.array(a, object), False),
    "every second": (spread, True),
    "read-only": (frozen, True),
    "negative": (lambda a: -a - 1 if isinstance(a, np.ndarray) else a, False),
    "large": (lambda a: a * 0 + 2**62 if isinstance(a, np.ndarray) and a.dtype.kind == "i" else a, False),
}  # fmt: skip


def zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


def layer(cell: str, one_hot: bool) -> dict[str, Any]:
    case = make(cell, T, B, I, H, dtype=np.float32, one_hot=one_hot)
    lstm = cell == "lstm"
    return {
        "cell": cell, "activation": "tanh", "shape": (T, B),
        "x": None if one_hot else case.x, "tokens": case.x if one_hot else None,
        "h0": case.state[0], "c0": case.state[1] if lstm else None, "weights": tuple(case.weights),
        "y": zeros(T, B, H), "hn": zeros(B, H), "cn": zeros(B, H) if lstm else None, "save": True,
    }  # fmt: skip


def backward(cell: str, one_hot: bool) -> dict[str, Any]:
    arguments = layer(cell, one_hot)
    saved = _engine.forward(*arguments.values())
    case = make(cell, T, B, I, H, dtype=np.float32, one_hot=one_hot)
    kept = {name: arguments[name] for name in ("x", "tokens", "h0", "c0", "weights", "y")}
    dc = zeros(B, H) if cell == "lstm" else None
    gradients = {
        f"d{name}": np.zeros_like(w) for name, w in zip(Weights._fields, arguments["weights"], strict=False)
    }
    return {
        "saved": saved, **kept, "dy": case.dy, "dhn": case.dstate[0],
        "dcn": None if dc is None else case.dstate[1], "dx": None if one_hot else zeros(T, B, I),
        "dh0": zeros(B, H), "dc0": dc, **gradients,
    }  # fmt: skip


def head() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    h, Wy, by = (rng.standard_normal(s).astype(np.float32) for s in ((9, H), (V, H), (V,)))
    return {
        "h": h, "Wy": Wy, "by": by, "targets": rng.integers(0, V, 9), "row_weights": zeros(9) + 1,
        "losses": zeros(9), "dh": zeros(9, H), "dWy": zeros(V, H), "dby": zeros(V),
    }  # fmt: skip


def stack(cell: str) -> dict[str, Any]:
    layers = [tuple(make(cell, 1, B, n, H, dtype=np.float32).weights) for n in (I, H)]
    return {"cell": cell, "activation": "tanh", "layers": layers, "Wy": zeros(V, H), "by": zeros(V)}


def step(cell: str) -> dict[str, Any]:
    parts = 4 if cell == "lstm" else 2
    x = make(cell, 1, B, I, H, dtype=np.float32).x[0]
    return {"x": x, "tokens": None, "state": [zeros(B, H) for _ in range(parts)], "logits": zeros(B, V)}


CELLS = ("rnn", "gru", "lstm")
CALLS: dict[str, tuple[Any, Any]] = {  # name: what is called with its arguments, and right arguments
    **{f"forward {c} {t}": (_engine.forward, lambda c=c, t=t: layer(c, t)) for c in CELLS for t in (0, 1)},
    **{f"backward {c} {t}": (_engine.backward, lambda c=c, t=t: backward(c, t))
       for c in CELLS for t in (0, 1)},
    "softmax_cross_entropy": (_engine.softmax_cross_entropy, head),
    **{f"Stack32 {c}": (_engine.Stack32, lambda c=c: stack(c)) for c in CELLS},
    **{f"step {c}": (lambda *a, c=c: _engine.Stack32(*stack(c).values()).step(*a), lambda c=c: step(c))
       for c in CELLS},
    "elementwise": (_engine.elementwise, lambda: {"function": "exp", "x": zeros(30), "y": zeros(30)}),
    "empty32": (_engine.empty32, lambda: {"shape": (3, 4)}),
    "empty64": (_engine.empty64, lambda: {"shape": (3, 4)}),
    "set_threads": (_engine.set_threads, lambda: {"n": 2}),
}  # fmt: skip


def arrays(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}


def main(calls: int) -> None:
    expected = {}
    for name, (function, right) in CALLS.items():
        expected[name] = right()
        function(*expected[name].values())
    answered = 0
    for _ in range(calls):
        name = chance.choice(list(CALLS))
        function, right = CALLS[name]
        arguments, same = right(), True
        chosen = chance.sample(list(arguments), min(len(arguments), chance.randrange(3)))
        wrongs = [chance.choice(list(WRONG)) for _ in chosen]
        for argument, wrong in zip(chosen, wrongs, strict=True):
            try:
                arguments[argument] = WRONG[wrong][0](arguments[argument])
            except (TypeError, ValueError, OverflowError):  # not to be had of this argument
                continue
            same &= WRONG[wrong][1]
        print(name, dict(zip(chosen, wrongs, strict=True)), {c: arguments[c] for c in chosen}, flush=True)
        try:
            function(*arguments.values())
        except REFUSALS:
            continue
        answered += 1
        if same:
            for key, value in arrays(expected[name]).items():
                assert np.allclose(np.ravel(arguments[key]), np.ravel(value), 1e-5, 1e-6), f"{key} is wrong"
    assert answered > calls / 10, f"only {answered} calls of {calls} were answered"


if __name__ == "__main__":
    main(int(sys.argv[1]))
