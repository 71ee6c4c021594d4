"""Labelled examples as numbers: the symbols of a text, or scaled steps."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import Packed, pack
from backtime.data.examples import Example
from backtime.data.labelled import Reading
from backtime.data.lexicon import Lexicon
from backtime.errors import UsageError, shown

LEVELS = ("word", "char")
WORD = re.compile(r"\w+|[^\w\s]")


def symbols_of(text: str, level: str) -> list[str]:
    """The characters of a text, or its words without case, each sign of punctuation for itself."""
    return list(text) if level == "char" else WORD.findall(text.lower())


class Scale(NamedTuple):
    """What makes a channel's training values have mean 0 and deviation 1."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    def to_json(self) -> dict[str, Any]:
        """The numbers as lists."""
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}

    @classmethod
    def from_json(cls, value: Any) -> "Scale":
        """The scale of ``to_json``'s value; raises ``UsageError`` when it is something else."""
        try:
            mean, deviation = (np.array(value[name], np.float32) for name in cls._fields)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"the scale is {shown(value)}; expected mean and deviation") from error
        if mean.ndim != 1 or mean.shape != deviation.shape or not np.isfinite([mean, deviation]).all():
            raise UsageError(f"the scale is {shown(value)}; expected as many means as deviations, finite")
        return cls(mean, deviation)


def scale_of(records: Sequence[NDArray[Any]], standard: bool = True) -> Scale:
    """The scale of all steps (T, I) together: of each channel, or, of bytes (pictures), of all as one."""
    channels = records[0].shape[1]
    if not standard:
        return Scale(np.zeros(channels, np.float32), np.ones(channels, np.float32))
    axis = None if records[0].dtype == np.uint8 else 0
    count = sum(record.size if axis is None else len(record) for record in records)
    mean = sum(record.sum(axis, dtype=np.float64) for record in records) / count
    square = sum(((record - mean) ** 2).sum(axis, dtype=np.float64) for record in records) / count
    deviation = np.sqrt(square)
    ones = np.ones(channels, np.float32)
    return Scale(
        np.asarray(mean * ones, np.float32),
        np.asarray(np.where(deviation > 0, deviation, 1) * ones, np.float32),
    )


class Encoder(NamedTuple):
    """Examples to numbers: by the symbols of a ``level``, or by a scale of channels."""

    symbols: Lexicon | None
    level: str
    scale: Scale | None
    size: str = ""  # of images

    @classmethod
    def from_json(cls, encoding: dict[str, Any]) -> "Encoder":
        """That of a model file."""
        if "symbols" in encoding:
            return cls(
                Lexicon.from_json(encoding["symbols"]), Reading.from_json(encoding["reading"]).level, None
            )
        return cls(None, "", Scale.from_json(encoding["scale"]), str(encoding["scale"].get("size", "")))

    def encode(self, example: Example) -> NDArray[Any]:
        """Symbols (T,) or steps (T, I), not yet scaled; raises ``UsageError`` where it is of another kind."""
        if isinstance(example.content, str) != (self.symbols is not None):
            has, wanted = ("numbers", "texts") if self.symbols is not None else ("a text", "numbers")
            raise UsageError(f"{example.place} is {has}; expected {wanted}, as in training")
        if self.symbols is not None:
            return np.array(self.symbols.numbers(self._split(example)), np.int64)
        steps: NDArray[Any] = example.content
        channels = len(self.scale.mean) if self.scale else 0
        if self.size and example.size and example.size != self.size:
            raise UsageError(f"{example.place} is {example.size}; expected {self.size}, as in training")
        if steps.shape[1] != channels:
            raise UsageError(f"{example.place} has {steps.shape[1]} numbers a step; expected {channels}")
        if not len(steps):
            raise UsageError(f"{example.place} is empty; expected at least one step")
        return steps

    def batch(self, records: Sequence[NDArray[Any]]) -> Packed:
        """Encoded examples, the longest first, as packed rows for the network."""
        packed = pack(records)
        if self.scale is None:
            return Packed(packed.rows.astype(np.int64), packed.batch_sizes)
        rows = (packed.rows.astype(np.float32) - self.scale.mean) / self.scale.deviation
        return Packed(rows, packed.batch_sizes)

    def names(self, example: Example) -> list[str]:
        """What stands at each step, for people: its symbol, or its number from 1."""
        if self.symbols is not None:
            return self._split(example)
        return [str(step) for step in range(1, len(example.content) + 1)]

    def _split(self, example: Example) -> list[str]:
        found = symbols_of(example.content, self.level)
        if not found:
            raise UsageError(f"{example.place} has an empty text; expected at least one word")
        return found
