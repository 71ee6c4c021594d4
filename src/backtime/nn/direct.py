"""Plain layers straight from tensors to the engine, and back: no array is made of a tensor on the way."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import to_dlpack  # type: ignore[attr-defined]  # public, if not in its __all__

import backtime.kernels as kernels
from backtime.nn.tensors import Call, States

if kernels.available():
    from backtime.native import direct as engine

DTYPES: dict[Any, Any] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}
NOTHING = (None, None)  # for h and c
Tensors = tuple[Tensor | None, ...]


class Tape(NamedTuple):
    """What the engine keeps for ``backward``; the tensors of the call are autograd's to save."""

    kept: Any


def forward(
    call: Call, save: bool, x: Tensor, weights: tuple[Any, ...], state: States
) -> tuple[Tensor, list[Tensor], Tape]:
    """``y`` (T, B, H), the last state, and the tape."""
    shape = (*x.shape[:2], weights[1].shape[1])
    last = (1, *shape[1:]) if call.stacked else shape[1:]
    y, ends, kept = engine.forward(call.cell, _inputs(x, weights, state), shape, last, DTYPES[x.dtype], save)
    return torch.from_numpy(y), [torch.from_numpy(part) for part in ends], Tape(kept)


def backward(
    tape: Tape, saved: tuple[Tensor, ...], dy: Tensor | None, dlast: Tensors, need: tuple[bool, ...]
) -> list[Tensor | None]:
    """Gradients of x, the weights and the state, None where not needed; the tape is used up.

    ``saved`` is x, the four weights, the state, and y.
    """
    x, weights, state = saved[0], saved[1:5], saved[5:-1]
    wanted: list[bool] = [need[0], True, True, True, True, *[True in need[5:]] * len(state)]
    shapes: list[Any] = [t.shape if wants else None for t, wants in zip(saved, wanted, strict=False)]
    upstream = _capsule(dy), _capsule(dlast[0]), _capsule(dlast[1]) if len(dlast) > 1 else None
    found = engine.backward(
        tape.kept, _inputs(x, weights, state), to_dlpack(saved[-1]), upstream, shapes, DTYPES[x.dtype]
    )
    pairs = zip(found, need, strict=True)
    return [torch.from_numpy(g) if wants and g is not None else None for g, wants in pairs]


def _inputs(x: Tensor, weights: tuple[Any, ...], state: States) -> Any:
    start = (_capsule(state[0]), _capsule(state[1]) if len(state) > 1 else None) if state else NOTHING
    return _capsule(x), start, tuple([_capsule(w) for w in weights])


def _capsule(tensor: Tensor | None) -> Any:
    """The memory of a CPU tensor for one call of the engine.

    A copy only where it is not contiguous, or where torch has put off a negation.
    """
    if tensor is None:
        return None
    whole = tensor if tensor.is_contiguous() else tensor.contiguous()
    return to_dlpack(whole.resolve_neg())
