"""What a network that compares texts is made of. No PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backtime.data.scored_pairs import TARGETS, PairReading
from backtime.errors import UsageError
from backtime.models.reader_config import SequenceEncoderConfig
from backtime.models.recurrent import Shapes


@dataclass(frozen=True, kw_only=True)
class SimilarityConfig(SequenceEncoderConfig):
    """Symbols in, layers, one vector for each text; two texts are as alike as the cosine of their vectors.

    - ``target``: what it learned from: ``pairs`` alone, with a ``score``, or with a ``label``
    - ``temperature``: what cosines are divided by in a softmax or sigmoid; of labels, at the start

    Raises ``UsageError`` naming the field that does not fit.
    """

    network: ClassVar[str] = "similarity"
    choices: ClassVar[dict[str, tuple[str, ...]]] = {**SequenceEncoderConfig.choices, "target": TARGETS}

    target: str = "pairs"
    temperature: float = 0.05

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        if self.channels:
            raise UsageError(f"channels is {self.channels}; expected symbols: texts are compared")
        if not self.temperature > 0:
            raise UsageError(f"temperature is {self.temperature}; expected more than 0")

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file."""
        decision: Shapes = {"log_scale": (1,), "threshold": (1,)} if self.target == "label" else {}
        return super().shapes() | decision

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless there are as many symbols as in the tensors, and the same target."""
        super().check_encoding(encoding)
        found = PairReading.from_json(encoding.get("reading")).target
        if found != self.target:
            raise UsageError(f"the reading has the target {found}; expected {self.target}")
