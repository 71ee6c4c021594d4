"""The calls that fuzz_bindings.py spoils: each binding with right arguments, another form each time."""

import random
from typing import Any

import numpy as np

import fuzz_network
from backtime import _engine
from backtime.reference.weights import Weights
from cases import Case, make

CELLS = ("rnn", "gru", "gru_before", "lstm", "jordan")
EXTRAS: dict[str, list[tuple[str, ...]]] = {
    "rnn": [(), ("norm",)],
    "gru": [(), ("norm",)],
    "gru_before": [()],
    "lstm": [(), ("Wy",), ("p",), ("norm",), ("Wy", "p"), ("Wy", "p", "norm")],
    "jordan": [(), ("norm",)],
}
SIZES = [(3, 2, 4, 5), (2, 3, 1, 17), (1, 1, 3, 2)]  # T, B, I, H
V = 6


def zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


def layer(cell: str, T: int, B: int, I: int, H: int, extras: tuple[str, ...], seed: int = 0) -> Case:
    own = "gru" if cell == "gru_before" else cell
    return make(own, T, B, I, H, dtype=np.float32, extras=extras, seed=seed)


def parts(weights: Weights, chance: random.Random) -> tuple[Any, ...]:
    return tuple(weights) if any(w is not None for w in weights[4:]) or chance.random() < 0.5 else weights[:4]


def options(cell: str, case: Case, R: int, chance: random.Random, arrays: bool = True) -> tuple[Any, ...]:
    """All of them at random, or (): activation, output, coupled, keep_h, keep_c, h_mask, cut."""
    if chance.random() < 0.4:
        return ()
    rng, lstm = np.random.default_rng(chance.randrange(100)), cell == "lstm"
    (B, P), H = case.state[0].shape, case.state[-1].shape[1]

    def keep(width: int) -> Any:
        drawn = rng.uniform(size=(R, width)).astype(np.float32)
        return chance.choice([None, 0.25, drawn if arrays else 0.5])

    return (
        chance.choice(["tanh", "relu"]),
        chance.choice(["identity", "sigmoid"]),
        lstm and case.weights.gx is None and chance.random() < 0.5,
        keep(P) if cell != "jordan" else None,
        keep(H) if lstm else None,
        rng.uniform(size=(B, P)).astype(np.float32) if arrays and chance.random() < 0.5 else None,
        (rng.uniform(size=R) < 0.3).astype(np.uint8) if arrays and chance.random() < 0.5 else None,
    )


def forward(cell: str, both: bool, chance: random.Random) -> dict[str, Any]:
    T, B, I, H = chance.choice(SIZES)
    batch_sizes = (
        np.array(sorted(chance.choices(range(1, B + 1), k=T))[::-1]) if chance.random() < 0.5 else None
    )
    R = T * B if batch_sizes is None else int(batch_sizes.sum())
    one_hot = chance.random() < 0.4
    directions = []
    for reverse in (False, True) if both else (chance.random() < 0.5,):
        case = layer(
            cell, T, B, I, H, chance.choice(EXTRAS[cell] if cell != "lstm" or not both else [(), ("p",)])
        )
        last = (*map(np.zeros_like, case.state), None)[:2]
        start = [s if chance.random() < 0.7 else None for s in (*case.state, None)[:2]]  # None: zeros
        weights = parts(case.weights, chance)
        directions.append((reverse, *start, weights, options(cell, case, R, chance), *last))
    x = case.x.reshape(T * B, I)[:R]
    return {
        "cell": cell, "shape": (T, B), "batch_sizes": batch_sizes, "x": None if one_hot else x,
        "tokens": np.arange(R) % I if one_hot else None, "directions": directions,
        "y": zeros(R, len(directions) * case.state[0].shape[1]), "save": True,
    }  # fmt: skip


def backward(cell: str, both: bool, chance: random.Random) -> dict[str, Any]:
    """After a forward call, whose every gradient is wanted, or not."""
    call = forward(cell, both, chance)
    saved = _engine.forward(*call.values())
    rng, need_dx, need_dstate = np.random.default_rng(0), chance.random() < 0.7, chance.random() < 0.7

    def like(a: Any, wanted: bool = True) -> Any:
        return np.zeros_like(a) if a is not None and wanted else None

    def drawn(a: Any) -> Any:
        return None if a is None else rng.standard_normal(a.shape).astype(np.float32)

    directions = [
        (kept, *start, weights, chosen, drawn(hn), drawn(cn), like(call["x"], need_dx), like(hn, need_dstate),
         like(cn, need_dstate), tuple(map(like, weights)))
        for kept, (_, *start, weights, chosen, hn, cn) in zip(saved or [], call["directions"], strict=True)
    ]  # fmt: skip
    given = {name: call[name] for name in ("x", "tokens", "y")}
    return {**given, "dy": chance.choice([None, drawn(call["y"])]), "directions": directions}


def head(chance: random.Random) -> dict[str, Any]:
    rng, H = np.random.default_rng(0), 5
    h, Wy, by = (rng.standard_normal(s).astype(np.float32) for s in ((9, H), (V, H), (V,)))
    gradients = [zeros(9, H), zeros(V, H), zeros(V)] if chance.random() < 0.7 else [None] * 3
    names = dict(zip(("dh", "dWy", "dby"), gradients, strict=True))
    given = {"h": h, "Wy": Wy, "by": by, "targets": rng.integers(0, V, 9), "row_weights": zeros(9) + 1}
    return {**given, "losses": zeros(9), **names}


def stack(cell: str, chance: random.Random) -> dict[str, Any]:
    extras = chance.choice(EXTRAS[cell])
    below = layer(cell, 1, 2, 4, 5, extras)
    above = layer(cell, 1, 2, below.state[0].shape[1], 3, extras, seed=1)
    P = above.state[0].shape[1]
    Wy, by = (np.ones((V, P), np.float32), zeros(V)) if chance.random() < 0.6 else (None, None)
    layers = [parts(case.weights, chance) for case in (below, above)]
    chosen = options(cell, above, 1, chance, arrays=False)
    return {"cell": cell, "options": chosen, "layers": layers, "Wy": Wy, "by": by}


def made(cell: str, chance: random.Random) -> tuple[Any, int, list[Any]]:
    """A stack, the number of its outputs, and a state of two sequences."""
    call = stack(cell, chance)
    state = []
    for weights in call["layers"]:
        P = weights[1].shape[1]
        H = weights[0].shape[0] // 4
        state += [zeros(2, P), zeros(2, H)] if cell == "lstm" else [zeros(2, P)]
    outputs = state[-2 if cell == "lstm" else -1].shape[1] if call["Wy"] is None else V
    return _engine.Stack32(*call.values()), outputs, state


def inputs(B: int, chance: random.Random) -> tuple[Any, Any]:
    """(x, tokens), one of them None."""
    x = np.random.default_rng(B).standard_normal((B, 4)).astype(np.float32)
    return (x, None) if chance.random() < 0.6 else (None, np.arange(B) % 4)


def step(cell: str, chance: random.Random) -> dict[str, Any]:
    own, outputs, state = made(cell, chance)
    x, tokens = inputs(2, chance)
    return {"self": own, "x": x, "tokens": tokens, "state": state, "logits": zeros(2, outputs)}


def stream(cell: str, chance: random.Random) -> dict[str, Any]:
    B = chance.choice([1, 1, 3])
    x, tokens = inputs(B, chance)
    steps = [x if tokens is None else tokens, 2 if B == 1 else tokens if x is None else x]
    return {"stack": made(cell, chance)[0], "B": B, "steps": steps}


def run_stream(own: Any, B: Any, steps: Any) -> list[Any]:
    """Every output and the state after it."""
    stream = _engine.Stream32(own, B)
    return [[stream.step(x).copy(), *[part.copy() for part in stream.state]] for x in list(steps)]


def elementwise(chance: random.Random) -> dict[str, Any]:
    return {"function": chance.choice(["exp", "sigmoid", "tanh"]), "x": zeros(30), "y": zeros(30)}


def saved_of_all_sorts() -> list[Any]:
    """What forward keeps of calls with other cells, sizes, options and in float64."""
    chance = random.Random(1)
    calls = [forward(cell, both, chance) for cell in CELLS for both in (False, True) for _ in range(4)]
    saved = [one for call in calls for one in _engine.forward(*call.values()) or []]
    case = make("rnn", 3, 2, 4, 5)
    direction = (False, case.state[0], None, case.weights[:4], (), np.zeros((2, 5)), None)
    doubles = _engine.forward("rnn", (3, 2), None, case.x, None, [direction], np.zeros((3, 2, 5)), True)
    return [*saved, *(doubles or [])]


Stack = _engine.Stack32
CALLS: dict[str, tuple[Any, Any]] = {  # name: what is called with its arguments, and right arguments
    **{f"forward {c} {n}": (_engine.forward, lambda r, c=c, n=n: forward(c, n == 2, r))
       for c in CELLS for n in (1, 2)},
    **{f"backward {c} {n}": (_engine.backward, lambda r, c=c, n=n: backward(c, n == 2, r))
       for c in CELLS for n in (1, 2)},
    **{f"network_forward {c}": (fuzz_network.run_forward, lambda r, c=c: fuzz_network.forward(c, r))
       for c in CELLS},
    **{f"network_backward {c}": (fuzz_network.run_both, lambda r, c=c: fuzz_network.backward(c, r))
       for c in CELLS},
    "softmax_cross_entropy": (_engine.softmax_cross_entropy, head),
    **{f"Stack32 {c}": (lambda *a: Stack(*a) and None, lambda r, c=c: stack(c, r)) for c in CELLS},
    **{f"step {c}": (lambda own, *a: Stack.step(own, *a), lambda r, c=c: step(c, r)) for c in CELLS},
    **{f"Stream32 {c}": (run_stream, lambda r, c=c: stream(c, r)) for c in CELLS},
    "elementwise": (_engine.elementwise, elementwise),
    "empty32": (lambda shape: _engine.empty32(shape) is None, lambda r: {"shape": (3, 4)}),
    "empty64": (lambda shape: _engine.empty64(shape) is None, lambda r: {"shape": (3, 4)}),
    "set_threads": (_engine.set_threads, lambda r: {"n": 2}),
}  # fmt: skip
