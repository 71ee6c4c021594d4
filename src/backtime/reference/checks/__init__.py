"""What a call must look like: ``UsageError`` names the argument, what came and what was expected.

The one place for it: the reference checks its own calls, ``backtime.kernels`` those that go to the engine.

- ``arrays``   shape, dtype and range of one array
- ``weights``  the weights of a layer
- ``options``  the options of a cell, and the combinations that do not exist
- ``calls``    a forward call and the backward call after it, dense or packed
- ``heads``    output units with their losses
"""

from backtime.reference.checks.calls import Sizes, check_call, check_cotangents
from backtime.reference.checks.heads import check_head
from backtime.reference.checks.options import OPTIONS, check_options
from backtime.reference.checks.weights import GATES, STATE, check_weights

__all__ = [
    "GATES",
    "OPTIONS",
    "STATE",
    "Sizes",
    "check_call",
    "check_cotangents",
    "check_head",
    "check_options",
    "check_weights",
]
