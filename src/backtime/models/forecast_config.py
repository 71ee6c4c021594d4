"""What a forecaster is made of. No PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from backtime.data.timeseries.encoding import SeriesEncoding
from backtime.data.timeseries.windows import STRATEGIES
from backtime.errors import UsageError, shown
from backtime.models.recurrent import (
    RecurrentConfig,
    Shapes,
    column_shapes,
    feedback_shapes,
    layer_shapes,
)


@dataclass(frozen=True, kw_only=True)
class ForecastConfig(RecurrentConfig):
    """Past of series in, recurrent layers, the next steps out.

    - ``targets`` K, ``past`` P, ``known`` F: columns forecast, known up to now, known ahead
    - ``strategy``: ``direct`` gives all ``horizon`` steps at once from the last state; ``recursive`` gives
      one step, and goes on from its own forecast
    - ``output_recurrence``: the targets are what comes back, recursive alone; inputs are the known columns
    - ``quantiles``: what is given for each target and step; empty: one number

    Raises ``UsageError`` naming the field that does not fit.
    """

    network: ClassVar[str] = "forecaster"
    choices: ClassVar[dict[str, tuple[str, ...]]] = {**RecurrentConfig.choices, "strategy": STRATEGIES}
    least: ClassVar[dict[str, int]] = {"past": 0, "known": 0}

    targets: int
    past: int
    known: int
    horizon: int
    strategy: str
    quantiles: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        if self.bidirectional:
            raise UsageError("bidirectional is true; a forecaster reads forward alone")
        check_quantiles(self.quantiles)
        if self.output_recurrence and self.strategy != "recursive":
            raise UsageError("output_recurrence is true with the direct strategy; expected the recursive one")
        if self.past and self.strategy == "recursive":
            raise UsageError(
                "the recursive strategy with columns known up to now alone: their future is not known; "
                "expected the direct strategy"
            )

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """The configuration of ``to_json``'s value, in which JSON has made a list of the quantiles."""
        if isinstance(value, dict) and isinstance(value.get("quantiles"), list):
            value = {**value, "quantiles": tuple(value["quantiles"])}
        return super().from_json(value)

    @property
    def inputs(self) -> int:
        """I, the numbers read at each step."""
        return self.targets + self.past + self.known

    @property
    def outputs(self) -> int:
        """Numbers for each step: K, times the quantiles."""
        return self.targets * max(1, len(self.quantiles))

    @property
    def point(self) -> int:
        """Which of the quantiles is the forecast."""
        return self.quantiles.index(0.5) if self.quantiles else 0

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file; ``decoder`` is there with known columns alone."""
        H, F, V = self.hidden_size, self.known, self.outputs
        steps = self.horizon if self.strategy == "direct" else 1
        table: Shapes = {"head.weight": (steps * V, H), "head.bias": (steps * V,)}
        if F and self.strategy == "direct":
            table |= {"decoder.0.weight": (H, H + F), "decoder.0.bias": (H,), "decoder.2.weight": (V, H)}
        table |= column_shapes(self)
        if self.output_recurrence:
            return table | feedback_shapes("rnn", self, self.targets, F)
        return table | layer_shapes("rnn", self, self.inputs)

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless columns and windows have the network's sizes."""
        found = SeriesEncoding.from_json(encoding)
        frame, sizes = found.frame, (len(found.columns.targets), len(found.columns.past), found.known)
        if sizes != (self.targets, self.past, self.known):
            raise UsageError(
                f"columns are {sizes[0]} targets, {sizes[1]} past and {sizes[2]} known; expected "
                f"{self.targets}, {self.past} and {self.known}"
            )
        if (frame.horizon, frame.strategy) != (self.horizon, self.strategy):
            raise UsageError(
                f"windows are {frame.strategy} with horizon {frame.horizon}; expected {self.strategy} with "
                f"{self.horizon}"
            )


def check_quantiles(quantiles: Any) -> None:
    """Raise ``UsageError`` unless they are none, or rise within (0, 1) and have the median."""
    numbers = type(quantiles) is tuple and all(type(q) is float and 0 < q < 1 for q in quantiles)
    if not numbers or list(quantiles) != sorted(set(quantiles)) or (quantiles and 0.5 not in quantiles):
        raise UsageError(
            f"quantiles are {shown(quantiles)}; expected rising numbers between 0 and 1 "
            "with 0.5 among them, such as 0.1,0.5,0.9"
        )
