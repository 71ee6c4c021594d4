"""What networks that write a text have in common. No PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backtime.data.batching.steps import LEVELS
from backtime.errors import UsageError, shown
from backtime.models.recurrent import RecurrentConfig, Shapes, check_lexicons, layer_shapes


@dataclass(frozen=True, kw_only=True)
class WriterConfig(RecurrentConfig):
    """A decoder: layers that write symbols, from a state and, with attention, from places that they look at.

    - ``targets``: how many symbols there are; beside them the decoder reads a begin, and writes an end
    - ``embedding_size``: the length of a symbol's vector
    - ``attention``: whether each step of the writing looks at all places of what was read

    Raises ``UsageError`` naming the field that does not fit.
    """

    network: ClassVar[str]

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
        raise NotImplementedError

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless what is read and written has the sizes of the tensors."""
        raise NotImplementedError

    def writer_shapes(self) -> Shapes:
        """Name and shape of each tensor of the decoder, its attention and its output."""
        H, E, V = self.hidden_size, self.embedding_size, self.targets + 1
        table: Shapes = {
            "target.weight": (V, E),
            **layer_shapes("decoder", self, E),
            "head.weight": (V, H),
            "head.bias": (V,),
        }
        if self.attention:
            table |= {"score.weight": (H, H), "combine.weight": (H, 2 * H), "combine.bias": (H,)}
        return table

    def check_writing(self, encoding: Mapping[str, Any], sizes: dict[str, int]) -> None:
        """Raise ``UsageError`` unless there are as many symbols as the tensors have, of a known level.

        ``sizes`` are those of the lexicons beside that of the ``targets``.
        """
        check_lexicons(encoding, {**sizes, "targets": self.targets})
        level = encoding.get("level")
        if not isinstance(level, dict) or level.get("level") not in LEVELS:
            raise UsageError(f"the level is {shown(level)}; expected one of {', '.join(LEVELS)}")
