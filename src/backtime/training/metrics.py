"""What a validation measures, and how people read it. No PyTorch."""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """What people read instead of a loss: its name, and how it comes from the loss."""

    name: str
    of: Callable[[float], float]


@dataclass(frozen=True)
class Metric:
    """A number that a validation gives: its name, its unit, and which way is better.

    The first metric of a task is its main one, which decides about the best model, early stopping and the
    schedule ``plateau``. ``"loss"`` is the mean of what is trained on, and every task has it.
    """

    name: str
    unit: str = ""
    better: str = "min"  # or "max"
    measure: Measure | None = None
    counted: str = "tokens"  # of the loss: what it is the mean over, in the plural

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether ``value`` beats ``best``; anything beats None and NaN."""
        if best is None or math.isnan(best):
            return True
        return value > best if self.better == "max" else value < best

    def text(self, value: float) -> str:
        """The value for people, with its unit."""
        words = f"{value:.4f} {self.unit}".rstrip()
        return f"{words} ({self.measure.of(value):.4g} {self.measure.name})" if self.measure else words


def main_value(metrics: tuple[Metric, ...], found: dict[str, float]) -> float | None:
    """The main metric's value of a validation; None where there was none to make."""
    return found.get(metrics[0].name)
