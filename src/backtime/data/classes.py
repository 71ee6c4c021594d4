"""Examples to train on, each with a label or a number, and how they become numbers."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.steps import Encoder, scale_of, symbols_of
from backtime.data.examples import Example
from backtime.data.labelled import EXPECTED, Reading, read_labelled
from backtime.data.lexicon import Lexicon, closed, opened
from backtime.errors import UnknownValueError, UsageError


@dataclass(frozen=True)
class Examples:
    """Encoded examples, and the numbers of their labels or what else is learned of them, (N,)."""

    records: list[NDArray[Any]]
    labels: NDArray[Any]

    @classmethod
    def of(cls, examples: list[Example], encoder: Encoder, labels: Lexicon) -> "Examples":
        """Encode; raises ``UsageError`` naming the example that does not fit."""
        numbers = np.array([label_number(own, labels) for own in examples], np.int64)
        return cls([encoder.encode(own) for own in examples], numbers)


@dataclass(frozen=True)
class Answered:
    """What is trained on, what is held out, and how both became numbers."""

    training: Examples
    held_out: Examples
    encoder: Encoder
    encoding: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Of all numbers and labels."""
        found = hashlib.blake2b(digest_size=16)
        for part in (self.training, self.held_out):
            for record in (*part.records, part.labels):
                found.update(str(record.shape).encode() + np.ascontiguousarray(record).tobytes())
        return found.hexdigest()

    def describe(self) -> str:
        """Examples and steps."""
        steps = sum(map(len, self.training.records))
        sizes = f"{len(self.training.records):,} examples of {steps:,} steps"
        return f"{sizes}, {len(self.held_out.records):,} to validate on"


@dataclass(frozen=True)
class Labelled(Answered):
    """Examples with labels."""

    def describe(self) -> str:
        """Examples, steps, labels."""
        return f"{super().describe()}, {len(self.encoding['labels']['symbols'])} labels"


def label_number(example: Example, labels: Lexicon) -> int:
    """The number of an example's label; raises ``UnknownValueError`` with its place at one unknown."""
    try:
        return labels.number(example.label or "")
    except UnknownValueError as error:
        raise UnknownValueError(f"{example.place}: {error}") from error


def encoding_of(training: list[Example], reading: Reading, min_count: int, standard: bool) -> dict[str, Any]:
    """The encoding of the training part: its labels beside ``input_encoding``."""
    labels = closed("label", (own.label or "" for own in training)).to_json()
    return {"labels": labels, **input_encoding(training, reading, min_count, standard)}


def input_encoding(
    training: list[Example], reading: Reading, min_count: int, standard: bool
) -> dict[str, Any]:
    """How files are read, and the symbols or the scale of the training part.

    Texts have symbols that come ``min_count`` times; with ``standard`` numbers are scaled.
    """
    common = {"reading": reading.to_json()}
    if not isinstance(training[0].content, str):
        return {**common, "scale": _scale(training, standard)}
    counts = Counter(symbol for own in training for symbol in symbols_of(own.content, reading.level))
    return {**common, "symbols": opened("symbol", counts, min_count).to_json()}


def _scale(training: list[Example], standard: bool) -> dict[str, Any]:
    steps, first = [own.content for own in training], training[0]
    for own in training:
        if own.content.shape[1] != first.content.shape[1]:
            raise UsageError(
                f"{own.place} has {own.content.shape[1]} numbers a step; expected {first.content.shape[1]}, "
                f"as {first.place}"
            )
    sizes = {"size": first.size} if first.size else {}
    return scale_of(steps, standard).to_json() | sizes


def read_parts(
    source: Path, valid_file: Path | None, share: float, seed: int, reading: Reading, by_label: bool = True
) -> tuple[list[Example], list[Example]]:
    """The examples to train on, and those to validate on: a file's, or a share that is drawn.

    The share is that of every label, of which there are two and more; without ``by_label`` it is of all.
    """
    examples = read_all(source, reading)
    drawn = [(own.label or "") if by_label else "" for own in examples]
    if by_label and len(set(drawn)) < 2:
        raise UsageError(f"{source} has one label only, {drawn[0]!r}; expected two and more")
    if valid_file is not None:
        return examples, read_all(valid_file, reading)
    return parted(examples, draw_held_out(drawn, share, seed))


def parted(examples: list[Example], held_out: set[int]) -> tuple[list[Example], list[Example]]:
    """The examples to train on, and those of the given numbers."""
    training = [own for n, own in enumerate(examples) if n not in held_out]
    return training, [examples[n] for n in sorted(held_out)]


def read_all(source: Path, reading: Reading) -> list[Example]:
    """All examples of a file or folder; raises ``UsageError`` where there is none."""
    examples = list(read_labelled(source, reading))
    if not examples:
        raise UsageError(f"{source} has no examples in it; {EXPECTED}")
    return examples


def draw_held_out(labels: list[str], share: float, seed: int) -> set[int]:
    """Of every label a share of the examples, at random; one stays to train on."""
    generator = np.random.Generator(np.random.PCG64(seed))
    chosen: set[int] = set()
    each: dict[str, list[int]] = {}
    for n, label in enumerate(labels):
        each.setdefault(label, []).append(n)
    for label in sorted(each):
        own = generator.permutation(each[label])
        chosen |= set(own[: min(round(len(own) * share), len(own) - 1)].tolist())
    return chosen
