"""What a derivation consists of: paths with their factors, groups of paths, gradients of states."""

from dataclasses import dataclass

import numpy as np

from backtime.insight.derivation.enumeration import Route
from backtime.insight.derivation.terms import Term
from backtime.insight.unfolded.partials import Partial, Use
from backtime.reference.weights import Array


@dataclass(frozen=True)
class Factor:
    """One partial derivative on a path."""

    text: str  # dS_{t+1}/dS_t
    latex: str
    local: Partial | Use

    @property
    def matrix(self) -> Array:
        """The Jacobian; of a weight, row k is the derivative of unit k by its own row of the weight."""
        return self.local.matrix()


@dataclass(frozen=True)
class Path:
    """One product of partial derivatives, from the loss to one use of the parameter."""

    nodes: Route
    lag: int  # steps from the loss back to the use
    factors: list[Factor]
    term: Term

    @property
    def value(self) -> Array:
        """The product, in the shape of the parameter."""
        return self.term.value

    @property
    def norm(self) -> float:
        """Its Frobenius norm."""
        return self.term.norm

    @property
    def text(self) -> str:
        """The product as text."""
        return " ".join(factor.text for factor in self.factors)

    @property
    def latex(self) -> str:
        """The product as LaTeX."""
        return " ".join(factor.latex for factor in self.factors)


@dataclass(frozen=True)
class Group:
    """All paths to the use of the parameter in one layer at one lag, and their sum."""

    layer: int
    lag: int
    count: int
    term: Term

    @property
    def value(self) -> Array:
        """The sum of the paths, in the shape of the parameter; none of them was listed for it."""
        return self.term.value

    @property
    def norm(self) -> float:
        """Its Frobenius norm."""
        return self.term.norm


@dataclass(frozen=True)
class StateGradient:
    """dE/dh of one layer, ``lag`` steps before the loss: the sum over all paths to this state."""

    layer: int
    lag: int
    count: int
    value: Array  # (H,)

    @property
    def norm(self) -> float:
        """Its Euclidean norm."""
        return float(np.linalg.norm(self.value))
