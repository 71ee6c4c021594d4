"""What a layer accepts, and the one line that says why not."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from backtime.errors import UsageError

FLOATS = (torch.float32, torch.float64)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def check_sizes(**sizes: Any) -> None:
    """Each a whole number from 1."""
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"{name} is {value!r}; expected a whole number from 1")


def check_dropout(dropout: Any) -> None:
    """A probability."""
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
        raise UsageError(f"dropout is {dropout!r}; expected a number in [0, 1]")


def check_place(device: Any, dtype: Any) -> None:
    """The CPU and a float type, or the default."""
    if device is not None and torch.device(device).type not in ("cpu", "meta"):
        raise UsageError(f"device is {str(device)!r}; only the CPU for now")
    if dtype not in (None, *FLOATS):
        raise UsageError(f"dtype is {dtype}; expected torch.float32 or torch.float64")


def check_tensor(name: str, value: Any, like: Tensor) -> None:
    """A CPU tensor of the type of the weight ``like``; integers pass as well."""
    if not isinstance(value, Tensor):
        why = "; packed sequences are not there yet" if isinstance(value, PackedSequence) else ""
        raise UsageError(f"{name} is a {type(value).__name__}; expected a tensor{why}")
    if like.device.type != "cpu" or like.dtype not in FLOATS:
        raise UsageError(
            f"weights are {like.dtype} on {like.device}; only float32 and float64 on the CPU for now"
        )
    if value.device.type != "cpu":
        raise UsageError(f"{name} is on {value.device}; only the CPU for now")
    if value.dtype != like.dtype and value.dtype not in INTEGERS:
        raise UsageError(f"{name} is {value.dtype}; expected {like.dtype} as the weights are")


def shape(value: Tensor) -> tuple[int, ...]:
    """The shape, printed as a tuple."""
    return tuple(value.shape)
