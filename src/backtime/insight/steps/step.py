"""What one step of a layer backwards is asked for. B sequences, C rows of each: a row is a loss."""

from typing import NamedTuple, Protocol

from torch import Tensor

from backtime.insight.layers.levels import Gradients
from backtime.nn.types import States


class Taken(NamedTuple):
    """What one step back gives."""

    before: States  # (B, C, .)  the gradient at the state before the step
    dx: Tensor | None  # (B, C, I)  and at the input
    dots: Tensor | None  # (B, C, F)  <gradient of the weights, G>, in the order of ``fields``


class Step(Protocol):
    """The steps of one layer. What is handed to ``enter`` and ``back`` is given away: they write into it."""

    fields: list[str]  # of the weights that have a gradient
    steady: bool  # whether dc never gains more than dh in a step: then dh alone tells of growth

    def enter(self, s: int, dstate: States) -> States:
        """Take the gradient at the state after step s, parts (B, C, .), to where the weights meet it."""

    def back(self, s: int, entered: States, need_dx: bool) -> Taken:
        """From there one step back."""

    def to_weights(self, steps: slice, sums: States, total: Gradients) -> None:
        """Add to ``total`` the weights' gradients, (M, ...), of M sums of what entered, (S, B, M, .)."""

    def aim(self, full: Gradients) -> None:
        """Have ``back`` give the inner products with these gradients, ``dots``."""

    def line(self, s: int, came: States) -> Tensor | None:
        """What shows in the line's state of a gradient that comes to (h,) or (h, c); None without a line."""

    def line_factor(self, s: int) -> Tensor:
        """(B, 1, H)  What the line's state is multiplied by on the way to the step before."""
