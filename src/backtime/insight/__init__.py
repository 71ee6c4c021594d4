"""What the gradient does on its way back through time.

- ``paths``, ``Network``  every path of backpropagation as formula, picture and number: NumPy alone
"""

from backtime.insight.derivation import Derivation, paths
from backtime.insight.network import Network

__all__ = ["Derivation", "Network", "paths"]
