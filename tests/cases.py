"""What the tests of the cells share: random layers, and one training step of them, here and by torch.nn."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from backtime import kernels
from backtime.reference import gru, lstm, rnn
from backtime.reference.weights import Array, Integers, Weights

CELLS: dict[str, Any] = {"rnn": rnn, "gru": gru, "lstm": lstm}
WEIGHTS = Weights._fields
STATE = {"rnn": ("h0",), "gru": ("h0",), "lstm": ("h0", "c0")}
GATES = {"rnn": 1, "gru": 3, "lstm": 4}

# (T, B, I, H): every edge of a tile and a vector at least once, alone and in company
SHAPES = [
    (1, 1, 1, 1),
    (2, 1, 3, 16),
    (7, 1, 40, 65),
    (1, 33, 16, 3),
    (7, 2, 1, 17),
    (2, 3, 17, 1),
    (7, 7, 65, 40),
    (1, 13, 64, 64),
    (7, 13, 16, 17),
    (2, 33, 3, 65),
    (7, 33, 40, 64),
    (7, 3, 64, 16),
]
# (T, B, I, H) for numeric differentiation, where every weight costs two runs
SMALL = [(1, 1, 2, 3), (3, 1, 2, 2), (1, 2, 3, 2), (4, 2, 2, 3)]


class Case(NamedTuple):
    """One layer, its input and the cotangents of its outputs."""

    x: Array | Integers
    state: tuple[Array, ...]
    weights: Weights
    dy: Array
    dstate: tuple[Array, ...]


def make(
    cell: str, T: int, B: int, I: int, H: int, dtype: Any = np.float64, one_hot: bool = False, seed: int = 0
) -> Case:
    """Random numbers of the size that trained networks have; ``one_hot`` gives integers for ``x``."""
    rng = np.random.default_rng([seed, T, B, I, H])

    def normal(*shape: int, scale: float = 1.0) -> Array:
        return (scale * rng.standard_normal(shape)).astype(dtype)

    GH, parts = GATES[cell] * H, len(STATE[cell])
    weights = Weights(
        Wx=normal(GH, I, scale=I**-0.5), Wh=normal(GH, H, scale=H**-0.5), bx=normal(GH), bh=normal(GH)
    )
    x = rng.integers(0, I, (T, B)) if one_hot else normal(T, B, I)
    state = tuple(normal(B, H) for _ in range(parts))
    return Case(x, state, weights, normal(T, B, H), tuple(normal(B, H) for _ in range(parts)))


def cast(case: Case, dtype: Any) -> Case:
    """The same numbers in another type; integers stay."""

    def to(a: Any) -> Any:
        if isinstance(a, Weights):
            return Weights(*map(to, a))
        return tuple(map(to, a)) if isinstance(a, tuple) else a.astype(dtype) if a.dtype.kind == "f" else a

    return Case(*map(to, case))


def train_step(cell: str, case: Case, backend: str = "reference", **options: Any) -> dict[str, Array]:
    """Everything that one forward and one backward pass compute, by name; no ``dx`` for integers."""
    y, last, tape = kernels.forward(cell, case.x, case.state, case.weights, backend=backend, **options)
    assert tape is not None
    assert tape.backend == backend
    dx, dstate, dweights = kernels.backward(tape, case.dy, case.dstate)
    found = {"y": y} if dx is None else {"y": y, "dx": dx}
    for name, end, start in zip(STATE[cell], last, dstate, strict=True):
        found |= {f"{name[0]}T": end, f"d{name}": start}
    return found | {f"d{name}": value for name, value in dweights._asdict().items()}


def torch_layer(cell: str, case: Case, **arguments: Any) -> dict[str, Array]:
    """``train_step`` by torch.nn, the witness from outside."""
    torch = pytest.importorskip("torch")
    kind: Callable[..., Any] = getattr(torch.nn, cell.upper())
    I, H = case.weights.Wx.shape[1], case.weights.Wh.shape[1]
    layer = kind(I, H, dtype=torch.float64, **arguments)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    layer.load_state_dict({n: torch.tensor(w) for n, w in zip(names, case.weights, strict=True)})
    x = torch.tensor(case.x, requires_grad=True)
    state = [torch.tensor(s[None], requires_grad=True) for s in case.state]
    y, last = layer(x, tuple(state) if cell == "lstm" else state[0])
    ends = list(last) if cell == "lstm" else [last]
    energy = (y * torch.tensor(case.dy)).sum()
    energy = energy + sum((s[0] * torch.tensor(d)).sum() for s, d in zip(ends, case.dstate, strict=True))
    energy.backward()
    found = {"y": y.detach().numpy(), "dx": x.grad.numpy()}
    for name, end, start in zip(STATE[cell], ends, state, strict=True):
        found |= {f"{name[0]}T": end[0].detach().numpy(), f"d{name}": start.grad[0].numpy()}
    gradients = [getattr(layer, n).grad.numpy() for n in names]
    return found | {f"d{name}": g for name, g in zip(WEIGHTS, gradients, strict=True)}


def engine_or_skip() -> None:
    """Skips the test without a built engine; fails it when BACKTIME_REQUIRE_ENGINE is set."""
    if not kernels.available():
        if os.environ.get("BACKTIME_REQUIRE_ENGINE"):
            pytest.fail(f"BACKTIME_REQUIRE_ENGINE is set, but there is no engine: {kernels.engine_info()}")
        pytest.skip("the engine is not built")


def dot(a: Any, b: Any) -> float:
    """A sum of products in plain numbers, for the tests that spell out a definition."""
    return sum(float(p) * float(q) for p, q in zip(a, b, strict=True))
