"""What an encoder-decoder is made of. No PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backtime.data.batching.steps import LEVELS
from backtime.errors import UsageError, shown
from backtime.models.recurrent import RecurrentConfig, Shapes, check_lexicons, layer_shapes


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(RecurrentConfig):
    """One text in, another out: layers that read, layers that write, of one cell and size.

    - ``sources``, ``targets``: how many symbols there are on either side; beside them the decoder reads a
      begin, and writes an end
    - ``attention``: whether each step of the writing looks at all outputs of the reading

    Raises ``UsageError`` naming the field that does not fit.
    """

    network: ClassVar[str] = "encoder-decoder"

    sources: int
    targets: int
    embedding_size: int
    attention: bool = False

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        if self.bidirectional:
            raise UsageError("bidirectional is true; the decoder goes on from the state of a reader forward")

    @property
    def end(self) -> int:
        """The output that ends a text, and the input that begins one: the symbol after all others."""
        return self.targets

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file."""
        H, E, V = self.hidden_size, self.embedding_size, self.targets + 1
        table: Shapes = {
            "source.weight": (self.sources, E),
            "target.weight": (V, E),
            **layer_shapes("encoder", self, E),
            **layer_shapes("decoder", self, E),
            "head.weight": (V, H),
            "head.bias": (V,),
        }
        if self.attention:
            table |= {"score.weight": (H, H), "combine.weight": (H, 2 * H), "combine.bias": (H,)}
        return table

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless there are as many symbols as the tensors have."""
        check_lexicons(encoding, {"sources": self.sources, "targets": self.targets})
        level = encoding.get("level")
        if not isinstance(level, dict) or level.get("level") not in LEVELS:
            raise UsageError(f"the level is {shown(level)}; expected one of {', '.join(LEVELS)}")
