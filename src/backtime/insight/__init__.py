"""What the gradient does on its way back through time.

- ``paths``, ``Derivation``  every path of backpropagation, in signs and numbers
- ``Network``                the network that is derived; ``read_network`` takes one from a file
- ``flow``, ``flow_of``, ``Flow``  how the gradient of a model's loss travels, by layer and lag: docs/flow.md
- ``judge``, ``Verdict``     what is wrong with it, in words, and what to try
- ``lyapunov``, ``fixed_points``  of a layer's states
- ``network_shape``          the shapes of networks as pictures: docs/network-shapes.md
- ``text_report``, ``latex_document``, ``draw``, ``write_pictures``  a derivation to read and to look at
"""

import importlib
from typing import TYPE_CHECKING, Any

from backtime.insight.derivation.derivation import Derivation
from backtime.insight.derivation.question import paths
from backtime.insight.drawing.latex import latex_document
from backtime.insight.drawing.pictures import draw, write_pictures
from backtime.insight.drawing.shapes import network_shape
from backtime.insight.drawing.text import text_report
from backtime.insight.unfolded.network import Network
from backtime.insight.unfolded.network_files import read_network

if TYPE_CHECKING:
    from backtime.insight.dynamics.exponents import lyapunov
    from backtime.insight.dynamics.stationary import FixedPoint, fixed_points
    from backtime.insight.gradient.flows import flow, flow_of
    from backtime.insight.measures import Flow
    from backtime.insight.verdict.findings import Verdict
    from backtime.insight.verdict.rules import judge

__all__ = [
    "Derivation",
    "FixedPoint",
    "Flow",
    "Network",
    "Verdict",
    "draw",
    "fixed_points",
    "flow",
    "flow_of",
    "judge",
    "latex_document",
    "lyapunov",
    "network_shape",
    "paths",
    "read_network",
    "text_report",
    "write_pictures",
]

_WITH_TORCH = {
    "flow": "gradient.flows",
    "flow_of": "gradient.flows",
    "Flow": "measures",
    "judge": "verdict.rules",
    "Verdict": "verdict.findings",
    "lyapunov": "dynamics.exponents",
    "fixed_points": "dynamics.stationary",
    "FixedPoint": "dynamics.stationary",
}


def __getattr__(name: str) -> Any:
    """What needs PyTorch is imported when it is first asked for: a derivation does without."""
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"backtime.insight.{_WITH_TORCH[name]}"), name)
