"""What the tests of the cells share: random layers, and one training step of them, here and by torch.nn."""

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

from backtime import kernels
from backtime.reference import Packing, gru, jordan, lstm, rnn
from backtime.reference.weights import Array, Integers, Weights, each

CELLS: dict[str, Any] = {"rnn": rnn, "gru": gru, "lstm": lstm, "jordan": jordan}
WEIGHTS = Weights._fields
STATE = {"rnn": ("h0",), "gru": ("h0",), "lstm": ("h0", "c0"), "jordan": ("y0",)}
GATES = {"rnn": 1, "gru": 3, "lstm": 4, "jordan": 1}
P = 3  # of a jordan network without a word, and of a projection; no size that H has in SMALL with H = 2

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
    cell: str,
    T: int,
    B: int,
    I: int,
    H: int,
    dtype: Any = np.float64,
    one_hot: bool = False,
    seed: int = 0,
    extras: tuple[str, ...] = (),
) -> Case:
    """Random numbers of the size that trained networks have; ``one_hot`` gives integers for ``x``.

    ``extras`` names the weights of options: ``Wy``, ``p``, and ``norm`` for all gains and shifts.
    """
    rng = np.random.default_rng([seed, T, B, I, H])

    def normal(*shape: int, scale: float = 1.0) -> Array:
        return (scale * rng.standard_normal(shape)).astype(dtype)

    GH = GATES[cell] * H
    width = P if cell == "jordan" or "Wy" in extras else H
    weights = Weights(
        Wx=normal(GH, I, scale=I**-0.5), Wh=normal(GH, width, scale=H**-0.5), bx=normal(GH), bh=normal(GH)
    )
    x = rng.integers(0, I, (T, B)) if one_hot else normal(T, B, I)
    sizes = (width, H) if cell == "lstm" else (width,)
    state = tuple(normal(B, n) for n in sizes)
    dy, dstate = normal(T, B, width), tuple(normal(B, n) for n in sizes)
    if width != H or "Wy" in extras or cell == "jordan":
        weights = weights._replace(Wy=normal(width, H, scale=H**-0.5))
    if cell == "jordan":
        weights = weights._replace(by=normal(width))
    if "p" in extras:
        weights = weights._replace(p=normal(3, H))
    if "norm" in extras:
        weights = weights._replace(gx=1 + normal(GH, scale=0.3), gh=1 + normal(GH, scale=0.3))
        if cell == "lstm":
            weights = weights._replace(gc=1 + normal(H, scale=0.3), bc=normal(H, scale=0.3))
    return Case(x, state, each(lambda w: w.astype(dtype), weights), dy, dstate)


class OptionCase(NamedTuple):
    """An option, or several, of one cell: the weights it adds and the arguments it is."""

    cell: str
    extras: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = MappingProxyType({})  # arguments as they are
    arrays: tuple[str, ...] = ()  # arguments drawn at random, of keep_h, keep_c, h_mask, reset

    def build(
        self, T: int, B: int, I: int, H: int, dtype: Any = np.float64, one_hot: bool = False, seed: int = 0
    ) -> tuple[Case, dict[str, Any]]:
        """The layer, and the options as ``kernels.forward`` takes them."""
        case = make(self.cell, T, B, I, H, dtype, one_hot, seed, self.extras)
        rng = np.random.default_rng([seed + 1, T, B, I, H])
        width = case.state[0].shape[1]
        draw: dict[str, Callable[[], Any]] = {
            "keep_h": lambda: rng.uniform(size=(T, B, width)).astype(dtype),
            "keep_c": lambda: (rng.uniform(size=(T, B, H)) < 0.5).astype(dtype),  # zoneout as in training
            "h_mask": lambda: ((rng.uniform(size=(B, width)) < 0.7) / 0.7).astype(dtype),
            "reset": lambda: _cuts(rng, T, B),
        }
        return case, {**self.numbers, **{name: draw[name]() for name in self.arrays}}


def _cuts(rng: np.random.Generator, T: int, B: int) -> Any:
    """Resets at random, and one for certain in the middle."""
    reset = rng.uniform(size=(T, B)) < 0.3
    reset[T // 2 : T // 2 + 1, B // 2 : B // 2 + 1] = True
    return reset


def _option_cases() -> dict[str, OptionCase]:
    table = {}
    for cell in ("rnn", "gru", "lstm"):
        table[f"{cell} keep_h number"] = OptionCase(cell, numbers={"keep_h": 0.3})
        table[f"{cell} keep_h array"] = OptionCase(cell, arrays=("keep_h",))
        table[f"{cell} all"] = OptionCase(cell, ("norm",), {}, ("keep_h", "h_mask", "reset"))
    for cell in CELLS:
        table[f"{cell} h_mask"] = OptionCase(cell, arrays=("h_mask",))
        table[f"{cell} reset"] = OptionCase(cell, arrays=("reset",))
        table[f"{cell} norm"] = OptionCase(cell, ("norm",))
    lstm_all = ("keep_h", "keep_c", "h_mask", "reset")
    return table | {
        "rnn norm relu": OptionCase("rnn", ("norm",), {"activation": "relu"}),
        "gru reset_before keep_h h_mask reset": OptionCase(
            "gru", (), {"reset_after": False}, ("keep_h", "h_mask", "reset")
        ),
        "lstm projection": OptionCase("lstm", ("Wy",)),
        "lstm peephole": OptionCase("lstm", ("p",)),
        "lstm coupled": OptionCase("lstm", (), {"coupled": True}),
        "lstm coupled peephole": OptionCase("lstm", ("p",), {"coupled": True}),
        "lstm keep_c number": OptionCase("lstm", numbers={"keep_c": 0.4}),
        "lstm keep_c array": OptionCase("lstm", arrays=("keep_c",)),
        "lstm projection keep_h h_mask": OptionCase("lstm", ("Wy",), {}, ("keep_h", "h_mask")),
        "lstm peephole norm keep_c": OptionCase("lstm", ("p", "norm"), {}, ("keep_c",)),
        "lstm coupled peephole projection all": OptionCase("lstm", ("Wy", "p"), {"coupled": True}, lstm_all),
        "lstm everything": OptionCase("lstm", ("Wy", "p", "norm"), {}, lstm_all),
        "jordan plain": OptionCase("jordan"),
        "jordan sigmoid of relu": OptionCase(
            "jordan", (), {"activation": "relu", "output_activation": "sigmoid"}
        ),
        "jordan tanh of identity": OptionCase(
            "jordan", (), {"activation": "identity", "output_activation": "tanh"}
        ),
        "jordan all": OptionCase("jordan", ("norm",), {"output_activation": "tanh"}, ("h_mask", "reset")),
    }


# What every implementation of the options is held to: name -> how to build it. The name begins with the cell.
OPTION_CASES = _option_cases()


def pack(case: Case, options: dict[str, Any], lengths: Any) -> tuple[Case, dict[str, Any]]:
    """The sequences cut to ``lengths`` (B,), zero included, as packed rows; ``batch_sizes`` in the options.

    What is of a sequence, the state and ``h_mask``, comes in the order of the packing.
    """
    packing = Packing.of(lengths)
    order = packing.order
    found = {
        name: value
        if not isinstance(value, np.ndarray)
        else value[order]
        if name == "h_mask"
        else packing.pack(value)
        for name, value in options.items()
    }
    packed = case._replace(
        x=packing.pack(case.x),
        state=tuple(s[order] for s in case.state),
        dy=packing.pack(case.dy),
        dstate=tuple(d[order] for d in case.dstate),
    )
    return packed, found | {"batch_sizes": packing.batch_sizes}


def cast(case: Case, dtype: Any) -> Case:
    """The same numbers in another type; integers stay."""

    def to(a: Any) -> Any:
        if isinstance(a, Weights):
            return each(to, a)
        return tuple(map(to, a)) if isinstance(a, tuple) else a.astype(dtype) if a.dtype.kind == "f" else a

    return Case(*map(to, case))


def cast_options(options: dict[str, Any], dtype: Any) -> dict[str, Any]:
    """The same options with their float arrays in another type."""
    return {
        name: value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
        for name, value in options.items()
    }


def train_step(cell: str, case: Case, backend: str = "reference", **options: Any) -> dict[str, Array]:
    """Everything that one forward and one backward pass compute, by name; no ``dx`` for integers.

    ``batch_sizes`` and ``reverse`` are among the options; the gradients are of the weights that there are.
    """
    y, last, tape = kernels.forward(cell, case.x, case.state, case.weights, backend=backend, **options)
    assert tape is not None
    assert tape.backend == backend
    dx, dstate, dweights = kernels.backward(tape, case.dy, case.dstate)
    found = {"y": y} if dx is None else {"y": y, "dx": dx}
    for name, end, start in zip(STATE[cell], last, dstate, strict=True):
        found |= {f"{name[0]}T": end, f"d{name}": start}
    for name, weight, gradient in zip(WEIGHTS, case.weights, dweights, strict=True):
        assert (weight is None) == (gradient is None), name
        if gradient is not None:
            found[f"d{name}"] = gradient
    return found


def engine_or_skip() -> None:
    """Skips the test without a built engine; fails it when BACKTIME_REQUIRE_ENGINE is set."""
    if not kernels.available():
        if os.environ.get("BACKTIME_REQUIRE_ENGINE"):
            pytest.fail(f"BACKTIME_REQUIRE_ENGINE is set, but there is no engine: {kernels.engine_info()}")
        pytest.skip("the engine is not built")


def dot(a: Any, b: Any) -> float:
    """A sum of products in plain numbers, for the tests that spell out a definition."""
    return sum(float(p) * float(q) for p, q in zip(a, b, strict=True))
