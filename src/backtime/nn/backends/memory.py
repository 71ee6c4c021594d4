"""Tensors to the engine and back as DLPack capsules, which cost a tenth of a NumPy view.

The engine reads a capsule for the length of one call and does not hold it: PyTorch may resize, free or move
the memory afterwards, which a NumPy view would forbid for ever.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils.dlpack import to_dlpack  # type: ignore[attr-defined]  # public, if not in its __all__

from_capsule = torch._C._from_dlpack  # what torch.from_dlpack comes to for a capsule


def capsule(tensor: Tensor | None) -> Any:
    """The memory of a tensor for one call; a copy only where torch has put off a negation, or the memory."""
    if tensor is None:
        return None
    if not isinstance(tensor, Tensor):
        raise TypeError(f"a {type(tensor).__name__} is no tensor")
    if tensor.is_neg():
        tensor = tensor.resolve_neg()
    elif tensor._is_zerotensor():
        tensor = torch.zeros(tensor.shape, dtype=tensor.dtype)
    return to_dlpack(tensor)


def capsules(tensors: Iterable[Tensor]) -> list[Any]:
    """Of each, in as few calls as may be: there is one for every weight."""
    tensors = list(tensors)
    if True in map(Tensor.is_neg, tensors):
        tensors = [t.resolve_neg() for t in tensors]
    return list(map(to_dlpack, tensors))


def is_odd(tensor: Tensor) -> bool:
    """Whether its memory does not begin at a multiple of its numbers' size: the engine reads no such tensor.

    A file that is mapped or read in one piece may hold some.
    """
    return tensor.layout is torch.strided and tensor.data_ptr() % tensor.element_size() != 0


def tensor(made: Any) -> Any:
    """The tensor that the engine made; None for none."""
    return None if made is None else from_capsule(made)
