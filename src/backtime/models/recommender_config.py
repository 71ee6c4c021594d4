"""What a recommender is made of. No PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backtime.errors import UsageError
from backtime.models.recurrent import RecurrentConfig, Shapes, check_lexicons, column_shapes, layer_shapes


@dataclass(frozen=True, kw_only=True)
class RecommenderConfig(RecurrentConfig):
    """Items in, each with a vector, recurrent layers, a score for each of ``items`` to come next.

    Raises ``UsageError`` naming the field that does not fit.
    """

    network: ClassVar[str] = "recommender"

    items: int
    embedding_size: int

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        if self.bidirectional:
            raise UsageError("bidirectional is true; what comes next is read forward alone")

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file."""
        table: Shapes = {
            "embedding.weight": (self.items, self.embedding_size),
            "head.weight": (self.items, self.hidden_size),
            "head.bias": (self.items,),
        }
        return table | column_shapes(self) | layer_shapes("rnn", self, self.embedding_size)

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless there are as many items as the tensors have."""
        check_lexicons(encoding, {"items": self.items})
