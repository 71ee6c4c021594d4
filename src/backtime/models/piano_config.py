"""What a network of piano rolls is made of. No PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backtime.errors import UsageError, shown
from backtime.models.recurrent import RecurrentConfig, Shapes, column_shapes, layer_shapes


@dataclass(frozen=True, kw_only=True)
class PianoConfig(RecurrentConfig):
    """Frames in, recurrent layers, for each of ``keys`` whether it sounds in the next frame.

    Raises ``UsageError`` naming the field that does not fit.
    """

    network: ClassVar[str] = "piano"

    keys: int

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        if self.bidirectional:
            raise UsageError("bidirectional is true; what comes next is read forward alone")

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file."""
        table: Shapes = {"head.weight": (self.keys, self.hidden_size), "head.bias": (self.keys,)}
        return table | column_shapes(self) | layer_shapes("rnn", self, self.keys)

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless the roll has as many keys, and frames of a length."""
        match encoding.get("roll"):
            case {"keys": self.keys, "frames_per_beat": int(frames)} if frames > 0:
                return
        raise UsageError(f"the roll is {shown(encoding.get('roll'))}; expected {self.keys} keys")
