"""What an encoder-decoder is made of. No PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backtime.models.recurrent import Shapes, layer_shapes
from backtime.models.writer_config import WriterConfig


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(WriterConfig):
    """One text in, another out: layers that read ``sources`` symbols, and layers that write, as large.

    Raises ``UsageError`` naming the field that does not fit.
    """

    network: ClassVar[str] = "encoder-decoder"

    sources: int

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file."""
        E = self.embedding_size
        table: Shapes = {"source.weight": (self.sources, E), **layer_shapes("encoder", self, E)}
        return table | self.writer_shapes()

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless there are as many symbols as the tensors have."""
        self.check_writing(encoding, {"sources": self.sources})
