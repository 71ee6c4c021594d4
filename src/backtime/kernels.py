"""The only switch between the NumPy reference and the compiled engine.

Everything above this file calls a cell as ``forward`` and ``backward`` and does not know who answers.
``backend`` is ``"auto"`` (the engine where it can, the reference where not), ``"native"`` (the engine, or an
error that says why not) or ``"reference"``.
"""

import os
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from backtime.errors import UsageError
from backtime.reference import gru, losses, lstm, rnn
from backtime.reference.checks import GATES, check_call, check_cotangents, check_head, check_options
from backtime.reference.losses import OutputGradients
from backtime.reference.weights import Array, Integers, Weights

_missing: str | None = None
try:
    from backtime import _engine, native
except ImportError as error:  # a source checkout without a build: the reference still answers
    _missing = str(error)
else:
    try:
        _engine.isa()
    except ValueError as error:  # BACKTIME_ISA names a set that this machine has not
        raise UsageError(str(error)) from None

State = tuple[Array, ...]  # (h,) for rnn and gru, (h, c) for lstm
CELLS: dict[str, ModuleType] = {"rnn": rnn, "gru": gru, "lstm": lstm}
BACKENDS = ("auto", "native", "reference")
__all__ = [
    "BACKENDS",
    "CELLS",
    "GATES",
    "Gradients",
    "Stack",
    "Tape",
    "available",
    "backward",
    "choose",
    "engine_info",
    "forward",
    "set_threads",
    "softmax_cross_entropy",
]


class Gradients(NamedTuple):
    """What ``backward`` returns; None for what was not asked for, and ``dx`` for integer input."""

    dx: Array | None
    dstate: State | None
    dweights: Weights


@dataclass(frozen=True)
class Tape:
    """What ``forward`` keeps for ``backward``; opaque to callers."""

    backend: str
    cell: str
    saved: Any


def available() -> bool:
    """Whether the compiled engine is there."""
    return _missing is None


def engine_info() -> dict[str, Any]:
    """What answers: ``isa`` (the instruction set chosen at import) and ``threads``."""
    if _missing is not None:
        return {"isa": None, "threads": 1, "why": _missing}
    return {"isa": _engine.isa(), "threads": _engine.get_threads()}


def set_threads(n: int) -> None:
    """Size of the engine's thread team; results do not depend on it."""
    if n < 1:
        raise UsageError(f"threads is {n}; expected a number from 1")
    if _missing is None:
        _engine.set_threads(n)


def choose(backend: str) -> str:
    """``"native"`` or ``"reference"`` for this ``backend``; ``BACKTIME_BACKEND`` overrides ``"auto"``."""
    if backend == "auto":
        backend = os.environ.get("BACKTIME_BACKEND", "auto")
    if backend not in BACKENDS:
        raise UsageError(f"backend is {backend!r}; expected one of {', '.join(BACKENDS)}")
    if backend == "native" and _missing is not None:
        raise UsageError(f"backend='native', but the compiled engine is missing: {_missing}")
    return "reference" if backend == "reference" or _missing is not None else "native"


def forward(
    cell: str,
    x: Array | Integers,
    state: State | None,
    weights: Weights,
    *,
    save: bool = True,
    backend: str = "auto",
    **options: Any,
) -> tuple[Array, State, Tape | None]:
    """Run one layer over a sequence.

    ``x`` is (T, B, I), or (T, B) integers for one-hot input; ``state`` is ``(h0,)`` or ``(h0, c0)``, each
    (B, H), or None for zeros. Returns ``y`` (T, B, H), the last state, and the tape that ``backward`` needs
    (None when ``save`` is false). Options: ``activation`` (rnn), ``reset_after`` (gru). Raises ``UsageError``
    naming the argument that does not fit.
    """
    check_call(cell, x, state, weights)
    check_options(cell, options)
    if _goes_native(backend, x, weights, **options):
        y, last, saved = native.forward(cell, x, state, weights, save=save, **options)
        return y, last, Tape("native", cell, saved) if save else None
    y, last, kept = CELLS[cell].forward(x, state, weights, **options)
    return y, last, Tape("reference", cell, kept) if save else None


def backward(
    tape: Tape, dy: Array | None, dstate: Any, *, need_dx: bool = True, need_dstate: bool = True
) -> Gradients:
    """Backpropagation through time: gradients from ``dy`` (T, B, H) and the gradient of the last state."""
    if tape.backend == "native":
        y = tape.saved.y
        check_cotangents(tape.cell, dy, dstate, y.shape, y.dtype)
        return Gradients(
            *native.backward(tape.cell, tape.saved, dy, dstate, need_dx=need_dx, need_dstate=need_dstate)
        )
    dx, dstate0, dweights = CELLS[tape.cell].backward(tape.saved, dy, dstate)
    return Gradients(dx if need_dx else None, dstate0 if need_dstate else None, dweights)


def _goes_native(backend: str, x: Array | Integers, weights: Weights, **options: Any) -> bool:
    if choose(backend) == "reference":
        return False
    why_not = native.can_run(x, weights, **options)
    if why_not and backend == "native":
        raise UsageError(f"backend='native', but {why_not}")
    return why_not is None


def softmax_cross_entropy(
    h: Array,
    Wy: Array,
    by: Array,
    targets: Integers,
    weights: Array | None = None,
    gradient: bool = True,
    backend: str = "auto",
) -> tuple[Array, OutputGradients | None]:
    """Losses (R,) in nats of softmax(h Wy^T + by) at ``targets``, and the gradient of their weighted sum.

    ``h`` is (R, H), ``Wy`` (V, H), ``weights`` (R,) or None for 1/R each; None in place of the gradients when
    ``gradient`` is false. The engine never stores the (R, V) logits.
    """
    check_head(h, Wy, by, targets, weights)
    if choose(backend) == "reference" or Wy.dtype not in (np.float32, np.float64) or 0 in h.shape:
        return losses.softmax_cross_entropy(h, Wy, by, targets, weights, gradient)
    each, grads = native.softmax_cross_entropy(h, Wy, by, targets, weights, gradient)
    return each, OutputGradients(*grads) if grads else None


class Stack:
    """Layers and their output product with the weights prepared once, for inference step by step.

    ``layers`` are the weights from the bottom up, ``Wy`` (V, H) and ``by`` (V,) the output product,
    ``embedding`` (V, I) the vectors that integers stand for (without it they are one-hot input).
    """

    def __init__(
        self,
        layers: list[Weights],
        cell: str,
        Wy: Array,
        by: Array,
        *,
        backend: str = "auto",
        embedding: Array | None = None,
        **options: Any,
    ) -> None:
        """Pack the weights for the engine; later changes to the arrays are not seen."""
        check_options(cell, options)
        self.layers, self.cell, self.Wy, self.by = layers, cell, Wy, by
        self.embedding, self.options = embedding, options
        native_here = _goes_native(backend, np.empty((1, 1), np.int64), layers[0], **options)
        self._engine = native.make_stack(layers, cell, Wy, by, **options) if native_here else None

    def zero_state(self, B: int = 1) -> list[Array]:
        """Zeros: for each layer h, and c for the LSTM, each (B, H)."""
        per_layer = 2 if self.cell == "lstm" else 1
        return [np.zeros((B, w.Wh.shape[1]), w.Wh.dtype) for w in self.layers for _ in range(per_layer)]

    def step(self, x: Array | Integers, state: list[Array]) -> Array:
        """Logits (B, V) after one step of ``x``, (B,) integers or (B, I); ``state`` advances in place."""
        if self.embedding is not None:
            x = self.embedding[x]
        if self._engine is not None:
            return native.step(self._engine, x, state, self.by)
        for layer, weights in enumerate(self.layers):
            n = len(state) // len(self.layers)
            own = state[layer * n : (layer + 1) * n]
            y, last, _ = CELLS[self.cell].forward(x[None], tuple(own), weights, **self.options)
            for old, new in zip(own, last, strict=True):
                old[...] = new
            x = y[0]
        return x @ self.Wy.T + self.by
