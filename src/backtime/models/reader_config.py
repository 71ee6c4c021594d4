"""What a reader is made of: many steps in, one vector or answer out. No PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backtime.data.batching.steps import Scale
from backtime.data.labelled import Reading
from backtime.errors import UsageError
from backtime.models.recurrent import RecurrentConfig, Shapes, check_lexicons, column_shapes, layer_shapes

POOLINGS = ("last", "mean", "max", "attention")


@dataclass(frozen=True, kw_only=True)
class SequenceEncoderConfig(RecurrentConfig):
    """Symbols or numbers in, layers, one vector for the whole sequence.

    - ``symbols``: how many there are, each with a vector of ``embedding_size``; or 0, and ``channels`` is how
      many numbers a step has
    - ``pooling``: what makes one vector of all steps: the ``last`` state (in both directions the state at
      either end), the ``mean`` or ``max`` of the outputs, or their mean weighted by ``attention``
    """

    network: ClassVar[str]
    choices: ClassVar[dict[str, tuple[str, ...]]] = {**RecurrentConfig.choices, "pooling": POOLINGS}
    least: ClassVar[dict[str, int]] = {"symbols": 0, "channels": 0, "embedding_size": 0}

    symbols: int = 0
    channels: int = 0
    embedding_size: int = 0
    pooling: str = "last"

    def __post_init__(self) -> None:
        """Check every field, and that there is one way in."""
        super().__post_init__()
        if bool(self.symbols) == bool(self.channels) or bool(self.symbols) != bool(self.embedding_size):
            raise UsageError(
                f"symbols is {self.symbols}, embedding_size {self.embedding_size}, channels {self.channels}; "
                "expected symbols and their embedding_size, or channels"
            )

    @property
    def input_size(self) -> int:
        """The length of what a step has."""
        return self.embedding_size or self.channels

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file."""
        P = self.width
        table: Shapes = layer_shapes("rnn", self, self.input_size) | column_shapes(self)
        if self.symbols:
            table["embedding.weight"] = (self.symbols, self.embedding_size)
        if self.pooling == "attention":
            table |= {"attention.weight": (P, P), "attention.bias": (P,), "query": (P,)}
        return table

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless there are as many symbols or channels as in the tensors."""
        if self.symbols:
            check_lexicons(encoding, {"symbols": self.symbols})
        elif (found := len(Scale.from_json(encoding.get("scale")).mean)) != self.channels:
            raise UsageError(f"the scale is that of {found} channels; expected {self.channels}")


@dataclass(frozen=True, kw_only=True)
class ReaderConfig(SequenceEncoderConfig):
    """A vector for the whole sequence, and scores of ``classes`` from it."""

    network: ClassVar[str] = "reader"

    classes: int

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file."""
        head: Shapes = {"head.weight": (self.classes, self.width), "head.bias": (self.classes,)}
        return super().shapes() | head

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless there are as many symbols or channels and labels as in the tensors."""
        check_lexicons(encoding, {"labels": self.classes})
        Reading.from_json(encoding.get("reading"))
        super().check_encoding(encoding)
