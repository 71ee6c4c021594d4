"""What comes into a call of a layer: checked, and laid out as rows."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from backtime.nn import check, parameters
from backtime.nn.check import CallError
from backtime.nn.frames import Dense, Frame, Packed, Ragged
from backtime.nn.state import zeros
from backtime.nn.tensors import States, autocast_on


def enter(layer: Any, x: Any, lengths: Any, like: Tensor) -> Frame:
    """The input as a frame; raises unless it fits, up to integers' range."""
    packed = isinstance(x, PackedSequence)
    rows = in_type("input", x.data if packed else x, like)
    one_hot = not rows.is_floating_point()
    axes = rows.ndim + one_hot
    if packed:
        if lengths is not None:
            raise CallError("lengths is given with a PackedSequence, which has its own; expected None")
        _check_width(layer, rows, one_hot, axes == 2, "(R, I)")
        return Packed(x if rows is x.data else x._replace(data=rows), layer.batch_first)
    batched = axes == 3
    form = _form(layer, batched, one_hot)
    if not batched and axes != 2:
        other = _form(layer, True, one_hot)
        raise CallError(f"input has shape {tuple(rows.shape)}; expected {other} or {form}")
    _check_width(layer, rows, one_hot, True, form)
    if lengths is not None:
        if not batched:
            raise CallError(
                f"lengths is given with input of shape {tuple(rows.shape)}; "
                f"expected {_form(layer, True, one_hot)}"
            )
        return Ragged(rows, layer.batch_first, lengths)
    frame = Dense(rows, layer.batch_first, batched)
    if not frame.x.shape[0]:
        raise CallError(f"input has shape {tuple(rows.shape)}; expected T from 1")
    return frame


def enter_state(layer: Any, hx: States | None, frame: Frame, like: Tensor) -> States:
    """The state as (L * D, B, P) tensors in the order of the rows; empty for zeros."""
    if hx is None:
        if layer.settings.learned_state:
            return tuple(
                getattr(layer, name).unsqueeze(1).expand(-1, frame.B, -1)
                for name in parameters.state_widths(layer)
            )
        return zeros(layer, frame.B) if isinstance(frame, Ragged) and frame.has_empty else ()
    batched = not isinstance(frame, Dense) or frame.batched
    form, B = ("(L, B, H)", (frame.B,)) if batched else ("(L, H)", ())
    parts = []
    for part, (name, width) in zip(hx, parameters.state_widths(layer).items(), strict=True):
        value = in_type(name, part, like)
        check.check_floats(name, value, like)
        check.check_shape(name, value, form, (len(layer._names), *B, width))
        parts.append(frame.enter_state(value))
    return tuple(parts)


def enter_reset(reset: Any, frame: Frame, x: Any) -> Tensor:
    """Where a new sequence begins, (T, B) or (R,) bool, from the form of the input."""
    if not isinstance(reset, Tensor) or reset.dtype != torch.bool:
        came = reset.dtype if isinstance(reset, Tensor) else type(reset).__name__
        raise CallError(f"reset is {came}; expected torch.bool")
    if isinstance(frame, Packed):
        T, B = len(frame.batch_sizes), frame.B
        check.check_shape(
            "reset",
            reset,
            "(B, T)" if frame.batch_first else "(T, B)",
            (B, T) if frame.batch_first else (T, B),
        )
    elif isinstance(frame, Dense) and not frame.batched:
        check.check_shape("reset", reset, "(T,)", tuple(x.shape[:1]))
    else:
        check.check_shape("reset", reset, "the input's first two axes", tuple(x.shape[:2]))
    return frame.rows(reset)


def in_type(name: str, value: Any, like: Tensor) -> Tensor:
    """Under autocast the layers around may hand over another float type: the layer computes in its own."""
    if (
        isinstance(value, Tensor)
        and value.dtype != like.dtype
        and value.is_floating_point()
        and autocast_on(like.device.type)
    ):
        value = value.to(like.dtype)
    check.check_tensor(name, value, like)
    found: Tensor = value
    return found


def _check_width(layer: Any, rows: Tensor, one_hot: bool, fits: bool, form: str) -> None:
    if not fits or (not one_hot and rows.shape[-1] != layer.input_size):
        raise CallError(
            f"input has shape {tuple(rows.shape)}; expected {form} with I = input_size = {layer.input_size}"
        )


def _form(layer: Any, batched: bool, one_hot: bool) -> str:
    axes = ("(B, T" if layer.batch_first else "(T, B") if batched else "(T,"
    return axes + (")" if one_hot else ", I)" if batched else " I)")
