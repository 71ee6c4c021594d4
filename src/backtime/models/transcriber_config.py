"""What a transcriber is made of. No PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backtime.data.audio import Hearing
from backtime.data.batching.steps import Scale
from backtime.errors import UsageError
from backtime.fields import read
from backtime.models.recurrent import RecurrentConfig, Shapes, check_lexicons, column_shapes, layer_shapes

MOST_STACK = 100


@dataclass(frozen=True, kw_only=True)
class TranscriberConfig(RecurrentConfig):
    """Features in, layers in both directions, at each step a score for a blank and for each character."""

    network: ClassVar[str] = "transcriber"

    channels: int
    characters: int
    bidirectional: bool = True

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file."""
        V = self.characters + 1
        table: Shapes = {"head.weight": (V, self.width), "head.bias": (V,)}
        return table | column_shapes(self) | layer_shapes("rnn", self, self.channels)

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless characters, scale and features have the sizes of the tensors."""
        check_lexicons(encoding, {"characters": self.characters})
        hearing: Hearing = read(Hearing, encoding.get("hearing"), "hearing", complete=True)
        if not (0 < hearing.stack <= MOST_STACK and 1000 <= hearing.rate <= 192_000):
            raise UsageError(f"hearing is {hearing}; expected a rate in Hz and a stack of frames")
        if (found := len(Scale.from_json(encoding.get("scale")).mean)) != self.channels:
            raise UsageError(f"the scale is that of {found} channels; expected {self.channels}")
