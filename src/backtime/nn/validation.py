"""What an argument may be, and the one line that says why not."""

from typing import Any

import torch
from torch import Tensor

from backtime.errors import UsageError
from backtime.nn import wording

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class ArgumentError(UsageError, TypeError):
    """A constructor's argument; ``torch.nn`` raises ValueError for some of these, TypeError for others."""


class CallError(UsageError, RuntimeError):
    """An argument of a call; ``torch.nn`` raises ValueError for some of these, RuntimeError for others."""


def check_sizes(**sizes: Any) -> None:
    """Each a whole number from 1."""
    for name, value in sizes.items():
        ours = f"{name} is {value!r}; expected a whole number from 1"
        if isinstance(value, bool) or not isinstance(value, int):
            raise ArgumentError(f"{name} should be of type int, got: {type(value).__name__}; {ours}")
        if value < 1:
            raise ArgumentError(f"{name} must be greater than zero; {ours}")


def check_flags(**flags: Any) -> None:
    """Each a bool."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            theirs = f"{name} should be of type bool, got: {type(value).__name__}"
            raise ArgumentError(f"{theirs}; {name} is {value!r}; expected True or False")


def check_share(**shares: Any) -> None:
    """Each a number in [0, 1]: a probability, or a share."""
    for name, value in shares.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            theirs = f"{name} should be a number in range [0, 1]"
            theirs += " representing the probability of an element being zeroed" if name == "dropout" else ""
            raise ArgumentError(f"{theirs}; {name} is {value!r}; expected a number in [0, 1]")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """One of a few names."""
    if value not in choices:
        raise ArgumentError(f"{name} is {value!r}; expected one of {', '.join(choices)}")


def check_projection(proj_size: Any, hidden_size: int) -> None:
    """A width below H; 0 for none."""
    if isinstance(proj_size, bool) or not isinstance(proj_size, int) or not 0 <= proj_size < hidden_size:
        theirs = "proj_size should be a positive integer or zero to disable projections"
        if isinstance(proj_size, int) and proj_size >= hidden_size:
            theirs = "proj_size has to be smaller than hidden_size"
        raise ArgumentError(
            f"{theirs}; proj_size is {proj_size!r}; expected 0, or 1 to hidden_size - 1 = {hidden_size - 1}"
        )


def check_no_projection(proj_size: Any) -> None:
    """The LSTM alone has one."""
    if proj_size:
        theirs = "proj_size argument is only supported for LSTM, not RNN or GRU"
        raise ArgumentError(f"{theirs}; proj_size is {proj_size!r}; expected 0")


def check_nonlinearity(value: Any, choices: tuple[str, ...]) -> None:
    """An activation that there is."""
    if value not in choices:
        theirs = f"Unknown nonlinearity '{value}'."
        raise ArgumentError(f"{theirs} nonlinearity is {value!r}; expected one of {', '.join(choices)}")


def check_dtype(dtype: Any) -> None:
    """A float type, or None for the default."""
    if dtype is not None and dtype not in FLOATS:
        raise ArgumentError(f"dtype is {dtype}; expected one of {', '.join(str(f) for f in FLOATS)}")


def check_tensor(name: str, value: Any, like: Tensor) -> None:
    """A tensor where the weight ``like`` is and of its type; integers pass as well."""
    if not isinstance(value, Tensor):
        raise CallError(f"{name} is a {type(value).__name__}; expected a tensor")
    if value.layout is not torch.strided or value.is_nested:
        kind = "nested" if value.is_nested else str(value.layout).removeprefix("torch.").lstrip("_")
        raise CallError(f"{name} is a {kind} tensor; expected a dense one")
    if value.dtype != like.dtype and value.dtype not in INTEGERS:
        theirs = f"{wording.input_type(value, like)}; " if name == "input" else ""
        raise CallError(f"{theirs}{name} is {value.dtype}; expected {like.dtype} as the weights are")
    if value.device != like.device:
        raise CallError(f"{name} is on {value.device}; expected {like.device} as the weights are")


def check_floats(name: str, value: Any, like: Tensor) -> None:
    """As ``check_tensor``, without integers."""
    check_tensor(name, value, like)
    if value.dtype != like.dtype:
        raise CallError(f"{name} is {value.dtype}; expected {like.dtype} as the weights are")


def check_shape(name: str, value: Tensor, letters: str, shape: tuple[int, ...]) -> None:
    """The shape that ``letters`` spell."""
    if value.shape != shape:
        raise CallError(f"{name} has shape {tuple(value.shape)}; expected {letters} = {shape}")


def check_range(name: str, value: Tensor, size: int, letter: str) -> None:
    """Integers in [0, size)."""
    least, most = int(value.min()), int(value.max())
    if least < 0 or most >= size:
        raise UsageError(f"{name} has values from {least} to {most}; expected 0 to {letter} - 1 = {size - 1}")


def shape(value: Tensor) -> tuple[int, ...]:
    """The shape, printed as a tuple."""
    return tuple(value.shape)
