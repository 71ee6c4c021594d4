"""The compiled engine: csrc/bindings.cpp."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[Any]

class Saved32: ...
class Saved64: ...

class Stack32:
    def __init__(
        self, cell: str, activation: str, layers: list[tuple[_Array, ...]], Wy: _Array, by: _Array
    ) -> None: ...
    def step(self, x: _Array | None, tokens: _Array | None, state: list[_Array], logits: _Array) -> None: ...

class Stack64(Stack32): ...

def empty32(shape: tuple[int, ...]) -> NDArray[np.float32]: ...
def empty64(shape: tuple[int, ...]) -> NDArray[np.float64]: ...
def forward(
    cell: str,
    activation: str,
    shape: tuple[int, int],
    x: _Array | None,
    tokens: _Array | None,
    h0: _Array,
    c0: _Array | None,
    weights: tuple[_Array, ...],
    y: _Array,
    hn: _Array,
    cn: _Array | None,
    save: bool,
) -> Saved32 | Saved64 | None: ...
def backward(
    saved: Any,
    x: _Array | None,
    tokens: _Array | None,
    h0: _Array,
    c0: _Array | None,
    weights: tuple[_Array, ...],
    y: _Array,
    dy: _Array | None,
    dhn: _Array | None,
    dcn: _Array | None,
    dx: _Array | None,
    dh0: _Array | None,
    dc0: _Array | None,
    dWx: _Array,
    dWh: _Array,
    dbx: _Array,
    dbh: _Array,
) -> None: ...
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
def trim() -> int: ...
