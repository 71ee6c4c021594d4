"""What a regressor is made of: many steps in, one number out. No PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backtime.data.batching.steps import Scale
from backtime.data.labelled import Reading
from backtime.errors import UsageError
from backtime.models.reader_config import SequenceEncoderConfig
from backtime.models.recurrent import Shapes


@dataclass(frozen=True, kw_only=True)
class RegressorConfig(SequenceEncoderConfig):
    """A vector for the whole sequence, and one scaled number from it."""

    network: ClassVar[str] = "regressor"

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file."""
        head: Shapes = {"head.weight": (1, self.width), "head.bias": (1,)}
        return super().shapes() | head

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless there are as many symbols or channels, and the scale of one number."""
        super().check_encoding(encoding)
        Reading.from_json(encoding.get("reading"))
        scale = Scale.from_json(encoding.get("target"))
        if len(scale.mean) != 1 or not scale.deviation[0] > 0:
            raise UsageError(
                f"the target's scale has means {scale.mean.tolist()}, deviations {scale.deviation.tolist()}; "
                "expected one of each, the deviation above 0"
            )
