"""The compiled engine: csrc/bindings.cpp. An array may also come as a DLPack capsule."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[Any]

class Saved32:
    state_shapes: list[tuple[int, int]]

class Saved64(Saved32): ...

class Stack32:
    def __init__(
        self,
        cell: str,
        options: tuple[Any, ...],
        layers: list[tuple[Any, ...]],
        Wy: _Array | None,
        by: _Array | None,
    ) -> None: ...
    def step(self, x: _Array | None, tokens: _Array | None, state: list[_Array], logits: _Array) -> None: ...

class Stack64(Stack32): ...

class Stream32:
    state: list[_Array]
    def __init__(self, stack: Stack32, B: int) -> None: ...
    def step(self, x: _Array | int) -> _Array: ...

class Stream64(Stream32): ...

def empty32(shape: tuple[int, ...]) -> NDArray[np.float32]: ...
def empty64(shape: tuple[int, ...]) -> NDArray[np.float64]: ...
def forward(
    cell: str,
    shape: tuple[int, int],
    batch_sizes: _Array | None,
    x: _Array | None,
    tokens: _Array | None,
    directions: Sequence[tuple[Any, ...]],  # reverse, h0, c0, weights, options, hn, cn
    y: _Array,
    save: bool,
) -> list[Saved32] | list[Saved64] | None: ...
def backward(
    x: _Array | None,
    tokens: _Array | None,
    y: _Array,
    dy: _Array | None,
    directions: Sequence[
        tuple[Any, ...]
    ],  # saved, h0, c0, weights, options, dhn, dcn, dx, dh0, dc0, dweights
    last_use: bool = False,
) -> None: ...

class SavedNetwork32: ...
class SavedNetwork64: ...

_Capsule = Any  # a DLPack capsule, or None

def network_forward32(
    cell: str,
    fields: int,
    form: tuple[int, bool, bool, bool],
    x: _Capsule,
    weights: list[_Capsule],
    h0: _Capsule,
    c0: _Capsule,
    sequences: list[int] | tuple[_Capsule, _Capsule, int | None] | None,
    reset: _Capsule,
    options: tuple[tuple[Any, ...], ...],
    masks: tuple[_Capsule, ...],
    save: bool,
) -> tuple[_Capsule, _Capsule, _Capsule, SavedNetwork32 | None, bool]: ...
def network_backward32(
    saved: SavedNetwork32,
    cell: str,
    fields: int,
    x: _Capsule,
    weights: list[_Capsule],
    y: _Capsule,
    dy: _Capsule,
    dhn: _Capsule,
    dcn: _Capsule,
    options: tuple[tuple[Any, ...], ...],
    masks: tuple[_Capsule, ...],
    need: tuple[bool, ...],
) -> list[_Capsule]: ...

network_forward64 = network_forward32
network_backward64 = network_backward32

def softmax_cross_entropy(
    h: _Array,
    Wy: _Array,
    by: _Array,
    targets: _Array,
    row_weights: _Array | None,
    losses: _Array,
    dh: _Array | None,
    dWy: _Array | None,
    dby: _Array | None,
) -> None: ...
def elementwise(function: str, x: NDArray[np.floating], y: NDArray[np.floating]) -> None: ...
def isa() -> str: ...
def fma_peak(milliseconds: int) -> float: ...
def get_threads() -> int: ...
def set_threads(n: int) -> None: ...
def team() -> str: ...
def quota(groups: str, root: str) -> int: ...
def keep_freed_memory() -> None: ...
def trim() -> int: ...
