"""Right calls of the bindings that ``backtime.nn`` uses, in NumPy, for fuzz_calls.py."""

import random
from typing import Any

import numpy as np

from backtime import _engine
from backtime.reference.weights import Weights
from cases import make

EXTRAS: dict[str, list[tuple[str, ...]]] = {
    "rnn": [(), ("norm",)],
    "gru": [(), ("norm",)],
    "gru_before": [()],
    "lstm": [(), ("Wy",), ("p",), ("Wy", "p", "norm")],
    "jordan": [(), ("norm",)],
}
T, B, I, H = 3, 2, 4, 5


class Held:
    """An array of the engine's, as NumPy takes one."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def capsules(value: Any) -> Any:
    """With a capsule in place of each array."""
    if isinstance(value, np.ndarray):
        try:
            return value.__dlpack__()
        except BufferError as error:
            raise ValueError(str(error)) from None
    if isinstance(value, tuple | list):
        return type(value)(capsules(part) for part in value)
    return value


def as_arrays(results: Any) -> list[Any]:
    """What was answered; None, and what is kept for backward, as they are."""
    is_capsule = type(np.zeros(1).__dlpack__())
    return [np.from_dlpack(Held(one)).copy() if isinstance(one, is_capsule) else one for one in results]


def run_forward(axes: Any, *arguments: Any) -> list[Any]:
    """y and the last state; with more or fewer axes x would be another right call."""
    if np.ndim(arguments[3]) != axes:
        raise ValueError("another call")
    return as_arrays(_engine.network_forward32(*map(capsules, arguments)))[:3]


def run_both(call: Any, *arguments: Any) -> list[Any]:
    """Every gradient, after a forward call."""
    *_, saved, _ = _engine.network_forward32(*map(capsules, tuple(call)[1:]))
    return as_arrays(_engine.network_backward32(saved, *map(capsules, arguments)))


def sequences(chance: random.Random, form: str) -> Any:
    if form == "padded":
        return [chance.randrange(T + 1) for _ in range(B - 1)] + [T]
    if form == "packed":
        sizes = np.array(sorted(chance.choices(range(1, B + 1), k=T))[::-1])
        order = np.array([1, 0]) if sizes[0] == B and chance.random() < 0.5 else None
        return sizes, order, chance.choice([None, int(sizes[0])])
    return None


def forward(cell: str, chance: random.Random) -> dict[str, Any]:
    """Of one layer or two, in one direction or both."""
    directions, layers = chance.choice([1, 2, 3]), chance.choice([1, 2])
    D = 2 if directions == 3 else 1
    form = chance.choice(["dense", "single", "step", "packed", "padded"])
    if form == "step":
        directions, layers, D = 1, 1, 1
    extras, name = chance.choice(EXTRAS[cell]), "gru" if cell == "gru_before" else cell
    rng, batch_first = np.random.default_rng(0), chance.random() < 0.5
    sums = D == 2 and chance.random() < 0.3
    first = make(name, T, B, I, H, dtype=np.float32, extras=extras)
    P = first.state[0].shape[1]
    above = make(name, T, B, P if sums else D * P, H, dtype=np.float32, extras=extras, seed=1)
    each = [w for case in (first, above)[:layers] for w in [case.weights] * D]
    bias = name == "jordan" or "norm" in extras or chance.random() < 0.5
    present = [n for n, w in enumerate(first.weights) if w is not None and (bias or n not in (2, 3))]
    given = sequences(chance, form)
    sizes = {"single": (T,), "step": (B,), "packed": () if given is None else (int(np.sum(given[0])),)}
    shape = sizes.get(form, (B, T) if batch_first else (T, B))
    R = sum(given) if form == "padded" else int(np.prod(shape))
    N = 1 if form == "single" else int(given[0][0]) if form == "packed" else B
    K = len(each)
    widths = [part.shape[1] for part in first.state]
    state = [rng.standard_normal((K, B, W)).astype(np.float32) for W in widths]
    state = [s[:, 0] if form == "single" else s[0] if form == "step" else s for s in state]
    h0, c0 = (*state, None)[:2] if chance.random() < 0.6 and _whole(given) else (None, None)
    cut = chance.random() < 0.4 and form in ("dense", "padded", "single")
    mask = rng.standard_normal((R, P if sums else D * P)).astype(np.float32)
    integers = chance.random() < 0.3
    x = rng.integers(0, I, shape) if integers else rng.standard_normal((*shape, I)).astype(np.float32)
    return {
        "axes": x.ndim, "cell": cell, "fields": sum(1 << n for n in present),
        "form": (directions, sums, batch_first, form == "step"), "x": x,
        "weights": [w[n] for w in each for n in present], "h0": h0, "c0": c0, "sequences": given,
        "reset": rng.uniform(size=shape) < 0.3 if cut else None,
        "options": options(cell, extras, K, R, N, P, first.weights, chance),
        "masks": (mask,) if layers == 2 and chance.random() < 0.5 else (), "save": True,
    }  # fmt: skip


def _whole(given: Any) -> bool:
    """Whether a state of B sequences fits."""
    return not isinstance(given, tuple) or int(given[0][0]) == B


def options(
    cell: str, extras: Any, K: int, R: int, N: int, P: int, weights: Weights, chance: random.Random
) -> Any:
    """Of each of the K layers and directions, or nothing."""
    if chance.random() < 0.5:
        return ()
    lstm, rng = cell == "lstm", np.random.default_rng(1)
    keep = rng.uniform(size=(R, P)).astype(np.float32)
    one = (
        chance.choice(["tanh", "relu"]),
        "identity",
        lstm and "norm" not in extras and chance.random() < 0.5,
        chance.choice([None, 0.25, keep]) if cell != "jordan" else None,
        chance.choice([None, 0.5]) if lstm else None,
        rng.uniform(size=(N, P)).astype(np.float32) if chance.random() < 0.3 else None,
    )
    return (one,) * K


def backward(cell: str, chance: random.Random) -> dict[str, Any]:
    """After a right forward call."""
    call = forward(cell, chance)
    while isinstance(call["sequences"], tuple) and not _whole(call["sequences"]):
        call = forward(cell, chance)
    rng = np.random.default_rng(2)
    y, hn, cn = run_forward(*call.values())

    def drawn(a: Any) -> Any:
        return None if a is None else rng.standard_normal(a.shape).astype(np.float32)

    wants_x = call["x"].dtype.kind == "f" and chance.random() < 0.7
    need = (wants_x, *[chance.random() < 0.5] * 2, *[chance.random() < 0.8 for _ in call["weights"]])
    dy = chance.choice([None, drawn(y)])
    same = {name: call[name] for name in ("cell", "fields", "x", "weights")}
    given = {"call": tuple(call.values()), **same, "y": y, "dy": dy, "dhn": drawn(hn), "dcn": drawn(cn)}
    return {**given, "options": call["options"], "masks": call["masks"], "need": need}
