"""What the gradient does on its way back through time.

- ``paths``, ``Derivation``  every path of backpropagation, in signs and numbers
- ``Network``                the network that is derived; ``read_network`` takes one from a file
- ``text_report``, ``latex_document``, ``draw``, ``write_pictures``  a derivation to read and to look at
"""

from backtime.insight.derivation import Derivation
from backtime.insight.drawing import draw, write_pictures
from backtime.insight.latex import latex_document
from backtime.insight.network import Network
from backtime.insight.network_files import read_network
from backtime.insight.question import paths
from backtime.insight.report import text_report

__all__ = [
    "Derivation",
    "Network",
    "draw",
    "latex_document",
    "paths",
    "read_network",
    "text_report",
    "write_pictures",
]
