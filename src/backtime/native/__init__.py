"""The calls into the compiled engine: contiguous arrays in, fresh arrays out; ``kernels`` is the door."""

from backtime.native.layer import Direction, Saved, backward, can_run, forward
from backtime.native.options import one_kernel
from backtime.native.output import make_stack, make_stream, softmax_cross_entropy, step

__all__ = [
    "Direction",
    "Saved",
    "backward",
    "can_run",
    "forward",
    "make_stack",
    "make_stream",
    "one_kernel",
    "softmax_cross_entropy",
    "step",
]
