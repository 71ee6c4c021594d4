"""Examples with a number each, to train a regressor on."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.steps import Encoder, Scale
from backtime.data.classes import Answered, Examples
from backtime.data.examples import Example
from backtime.errors import UsageError, shown


@dataclass(frozen=True)
class Numbered(Answered):
    """Examples whose ``labels`` are scaled numbers, float32."""

    @property
    def scale(self) -> Scale:
        """That of the numbers."""
        return Scale.from_json(self.encoding["target"])


def number_of(example: Example) -> float:
    """The number that an example has as its label; raises ``UsageError`` naming its place."""
    try:
        value = float(example.label or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{example.place} has the target {shown(example.label)}; expected a finite number")
    return value


def numbers_of(examples: list[Example]) -> NDArray[np.float64]:
    """The numbers of examples, (N,)."""
    return np.array([number_of(own) for own in examples], np.float64)


def check_targets(training: list[Example], source: Path) -> None:
    """Raise ``UsageError`` where all numbers are the same: there is nothing to learn."""
    numbers = numbers_of(training)
    if numbers.min() == numbers.max():
        raise UsageError(f"{source} has one target only, {numbers[0]:g}; expected two and more")


def target_scale(training: list[Example]) -> dict[str, Any]:
    """The scale of the training numbers, as JSON; the deviation is 1 where they are all the same."""
    numbers = numbers_of(training)
    return Scale(numbers.mean(keepdims=True), np.array([numbers.std() or 1.0])).to_json()


def scaled(examples: list[Example], encoder: Encoder, scale: Scale) -> Examples:
    """Encoded examples and their scaled numbers."""
    numbers = (numbers_of(examples) - scale.mean) / scale.deviation
    return Examples([encoder.encode(own) for own in examples], numbers.astype(np.float32))
