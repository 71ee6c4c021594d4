"""What a captioner is made of. No PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backtime.data.batching.steps import Scale
from backtime.data.captions import MOST_SYMBOLS, Frame
from backtime.errors import UsageError
from backtime.fields import read
from backtime.models.recurrent import Shapes
from backtime.models.writer_config import WriterConfig

MOST_BLOCKS = 8
SIDE = 3  # of the square of pixels that a convolution looks at
FLOOR = 1e-5  # of the variance of what the convolutions say of an image


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig(WriterConfig):
    """An image in, a text out: blocks of convolution that read, layers that write.

    - ``rows``, ``columns``, ``channels``: the size of every image
    - ``filters``: of the first block; each further block has twice as many, and half the rows and columns

    Raises ``UsageError`` naming the field that does not fit.
    """

    network: ClassVar[str] = "captioner"

    rows: int
    columns: int
    channels: int
    filters: int
    blocks: int

    def __post_init__(self) -> None:
        """Check every field, and that the last block has a place left."""
        super().__post_init__()
        if self.blocks > MOST_BLOCKS:
            raise UsageError(f"blocks is {self.blocks}; expected at most {MOST_BLOCKS}")
        if not self.places:
            raise UsageError(
                f"images are {self.rows} x {self.columns}, and each of {self.blocks} blocks halves them; "
                f"expected {2**self.blocks} x {2**self.blocks} and more, or fewer blocks"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the places that are left after the last block."""
        return self.rows >> self.blocks, self.columns >> self.blocks

    @property
    def places(self) -> int:
        """How many places there are to look at."""
        rows, columns = self.grid
        return rows * columns

    @property
    def features(self) -> int:
        """How many numbers a place has."""
        return self.filters << (self.blocks - 1)

    @property
    def starts(self) -> int:
        """How many numbers the decoder begins with: h, and of the LSTM c, of every layer."""
        return (2 if self.cell == "lstm" else 1) * self.layers * self.hidden_size

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file."""
        H, F = self.hidden_size, self.features
        table: Shapes = {"start.weight": (self.starts, self.places * F), "start.bias": (self.starts,)}
        below = self.channels
        for block in range(self.blocks):
            own = self.filters << block
            table |= {f"convolutions.{block}.weight": (own, below, SIDE, SIDE)}
            table |= {f"convolutions.{block}.bias": (own,)}
            below = own
        if self.attention:
            table |= {"place.weight": (H, F), "place.bias": (H,), "position": (self.places, H)}
        return table | self.writer_shapes()

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless symbols, images and scale have the sizes of the tensors."""
        self.check_writing(encoding, {})
        frame: Frame = read(Frame, encoding.get("frame"), "frame", complete=True)
        if not 1 <= frame.longest <= MOST_SYMBOLS:
            raise UsageError(f"longest is {frame.longest}; expected 1 to {MOST_SYMBOLS:,} symbols")
        if (frame.rows, frame.columns, frame.channels) != (self.rows, self.columns, self.channels):
            raise UsageError(
                f"images are {frame.size}; expected {self.rows} x {self.columns}, {self.channels} channels"
            )
        if (found := len(Scale.from_json(encoding.get("scale")).mean)) != self.channels:
            raise UsageError(f"the scale is that of {found} channels; expected {self.channels}")
