"""The only switch between the NumPy reference and the compiled engine.

Everything above this file calls a cell as ``forward`` and ``backward`` and does not know who answers.
``backend`` is ``"auto"`` (the engine where it can, the reference where not), ``"native"`` (the engine, or an
error that says why not) or ``"reference"``.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from backtime.backends import BACKENDS, available, choose, engine_info, goes_native, set_threads
from backtime.reference import layer, losses
from backtime.reference.bidirectional import added, beside, check_same_width, halves, pair
from backtime.reference.checks import GATES, Sizes, check_call, check_cotangents, check_head
from backtime.reference.layer import CELLS, State
from backtime.reference.losses import OutputGradients
from backtime.reference.weights import Array, Integers, Weights
from backtime.stack import Stack

if available():
    import backtime.native as native

Pair = tuple[State | None, State | None]  # (forward, reverse)
__all__ = [
    "BACKENDS",
    "CELLS",
    "GATES",
    "BothTapes",
    "Gradients",
    "Stack",
    "State",
    "Tape",
    "available",
    "backward",
    "backward_both",
    "choose",
    "engine_info",
    "forward",
    "forward_both",
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
    sizes: Sizes


class BothTapes(NamedTuple):
    """What ``forward_both`` keeps for ``backward_both``: of each direction, or, from the engine, of both."""

    forward: Tape
    reverse: Tape | None = None


def forward(
    cell: str,
    x: Array | Integers,
    state: State | None,
    weights: Weights,
    *,
    batch_sizes: Integers | None = None,
    reverse: bool = False,
    save: bool = True,
    backend: str = "auto",
    **options: Any,
) -> tuple[Array, State, Tape | None]:
    """Run one layer over a batch of sequences, with ``reverse`` each from its end to its start.

    ``x`` is (T, B, I), or (T, B) integers for one-hot input, and ``y`` (T, B, P); P is H but for a projection
    and the Jordan network. With ``batch_sizes`` (T,) the rows are packed as in PyTorch's ``PackedSequence``:
    ``x`` (R, I) or (R,), ``y`` (R, P). ``state`` is ``(h0,)``, ``(h0, c0)`` or ``(y0,)``, h and y (B, P), c
    (B, H), or None for zeros. Returns ``y``, each sequence's last state, and the tape that ``backward`` needs
    (None when ``save`` is false). The options of each cell are in docs/options.md. Raises ``UsageError``
    naming the argument that does not fit.
    """
    sizes = check_call(cell, x, state, weights, options, batch_sizes)
    if goes_native(backend, x, weights):
        y, (last,), saved = native.forward(
            cell, x, (state,), (weights,), batch_sizes, (reverse,), (options,), save=save
        )
        return y, last, Tape("native", cell, saved, sizes) if save else None
    y, last, kept = layer.forward(cell, x, state, weights, batch_sizes, reverse, **options)
    return y, last, Tape("reference", cell, kept, sizes) if save else None


def backward(
    tape: Tape,
    dy: Array | None,
    dstate: Any,
    *,
    need_dx: bool = True,
    need_dstate: bool = True,
    last_use: bool = False,
) -> Gradients:
    """Backpropagation through time: gradients from ``dy``, as y is, and the gradient of the last state.

    With ``last_use`` the engine may use up the tape, which saves memory and time: results are the same, and a
    further ``backward`` from that tape is refused.
    """
    if tape.backend == "native":
        check_cotangents(tape.cell, dy, dstate, tape.sizes)
        dx, (dstate0,), (dweights,) = native.backward(
            tape.saved, dy, (dstate,), need_dx=need_dx, need_dstate=need_dstate, last_use=last_use
        )
        return Gradients(dx, dstate0, dweights)
    dx, dstate0, dweights = layer.backward(tape.saved, dy, dstate)
    return Gradients(dx if need_dx else None, dstate0 if need_dstate else None, dweights)


def forward_both(
    cell: str,
    x: Array | Integers,
    states: Pair | None,
    weights: tuple[Weights, Weights],
    *,
    batch_sizes: Integers | None = None,
    save: bool = True,
    backend: str = "auto",
    options: tuple[dict[str, Any], dict[str, Any]] = ({}, {}),
) -> tuple[Array, tuple[State, State], BothTapes | None]:
    """Both directions of a layer: ``y`` (T, B, 2P) or (R, 2P), the forward half first, and the last states.

    ``states``, ``weights`` and ``options`` are pairs (forward, reverse); the rest is as in ``forward``.
    """
    states = pair("states", states or (None, None))
    pair("weights", weights)
    pair("options", options)
    sizes = [check_call(cell, x, states[d], weights[d], options[d], batch_sizes) for d in (0, 1)]
    check_same_width(sizes[0].y, sizes[1].y)
    if goes_native(backend, x, *weights) and native.one_kernel(cell, options):
        y, (last_f, last_r), saved = native.forward(
            cell, x, states, weights, batch_sizes, (False, True), options, save=save
        )
        return y, (last_f, last_r), BothTapes(Tape("native", cell, saved, sizes[0])) if save else None
    (y_f, last_f, tape_f), (y_r, last_r, tape_r) = (
        forward(
            cell,
            x,
            states[reverse],
            weights[reverse],
            batch_sizes=batch_sizes,
            reverse=reverse,
            save=save,
            backend=backend,
            **options[reverse],
        )
        for reverse in (False, True)
    )
    return beside(y_f, y_r), (last_f, last_r), None if tape_f is None else BothTapes(tape_f, tape_r)


def backward_both(
    tapes: BothTapes,
    dy: Array | None,
    dstates: Any,
    *,
    need_dx: bool = True,
    need_dstate: bool = True,
    last_use: bool = False,
) -> tuple[Array | None, tuple[State | None, State | None], tuple[Weights, Weights]]:
    """``(dx, dstates, dweights)``, pairs but for dx, from ``dy``, as y is, and the last states' gradients."""
    dstates = pair("dstates", dstates or (None, None))
    sizes = tapes.forward.sizes
    up = halves(dy, (*sizes.y[:-1], 2 * sizes.P))
    if tapes.reverse is None:
        for half, dstate in zip(up, dstates, strict=True):
            check_cotangents(tapes.forward.cell, half, dstate, sizes)
        dx, dstate0, dweights = native.backward(
            tapes.forward.saved, dy, dstates, need_dx=need_dx, need_dstate=need_dstate, last_use=last_use
        )
        return dx, (dstate0[0], dstate0[1]), (dweights[0], dweights[1])
    found_f, found_r = (
        backward(tape, half, dstate, need_dx=need_dx, need_dstate=need_dstate, last_use=last_use)
        for tape, half, dstate in zip((tapes.forward, tapes.reverse), up, dstates, strict=True)
    )
    dstate = (found_f.dstate, found_r.dstate)
    return added(found_f.dx, found_r.dx), dstate, (found_f.dweights, found_r.dweights)


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
