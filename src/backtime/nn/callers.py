"""Who called: the user's line for a warning, and the modules that a call has come through."""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

import backtime.kernels as kernels

WITHIN = tuple(str(Path(file).parent) for file in (kernels.__file__, torch.__file__))


def level() -> int:
    """The ``stacklevel`` of the user's line: the first outside of backtime and of torch."""
    frame, count = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(WITHIN):
        frame, count = frame.f_back, count + 1
    return count


def modules() -> list[nn.Module]:
    """From the innermost, a layer, to the outermost, the model that it is a part of."""
    result: list[nn.Module] = []
    frame: Any = sys._getframe(1)
    while frame is not None:
        own = frame.f_locals.get("self")
        if isinstance(own, nn.Module) and not (result and result[-1] is own):
            result.append(own)
        frame = frame.f_back
    return result
