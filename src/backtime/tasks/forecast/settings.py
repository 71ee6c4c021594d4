"""The options of ``--task forecast`` and of ``evaluate``."""

from __future__ import annotations

from dataclasses import dataclass

from backtime.data.scaling import SCALES, TRANSFORMS
from backtime.data.timeseries.gaps import GAPS
from backtime.data.timeseries.windows import ANCHORS, STRATEGIES
from backtime.errors import UsageError
from backtime.fields import described
from backtime.models.forecast_config import check_quantiles
from backtime.tasks.base import Options
from backtime.tasks.shared.recurrence import PATTERNS, check_output_recurrence
from backtime.tasks.shared.settings import (
    LAYERS,
    RecurrentSettings,
    hidden_size,
    layers,
    output_layers,
    share,
)
from backtime.training.settings import DATA, NETWORK, STEPS

NONE = "none"  # no quantiles

LOSSES = ("quantile", "mse", "mae")


@dataclass(frozen=True)
class ForecastSettings(RecurrentSettings):
    """A run that learns to forecast series."""

    network_fields = (*LAYERS, "output_layers")

    hidden_size: int = hidden_size(64)
    layers: int = layers(1)
    validation_fraction: float = share(0.2, "share of each series, at its end, to validate on")
    time_column: str = described("", "column of the times (default: the first)", group=DATA)
    time_format: str = described("", "of the times, as strptime has it (default: found)", group=DATA)
    series_column: str = described("", "column that names the series of a row", group=DATA)
    target: str = described("", "columns to forecast, A,B (default: all without a role)", group=DATA)
    past: str = described("", "columns known up to now, A,B", group=DATA)
    known: str = described("", "columns known ahead too, A,B: prices, holidays", group=DATA)
    calendar: bool = described(False, "read time of day, week and year too", group=DATA)
    until: str = described("", "leave out what comes from this time on", group=DATA)
    gaps: str = described("refuse", "what to do about gaps in time", group=DATA, choices=GAPS)
    transform: str = described("none", "of the targets, before scaling", group=DATA, choices=TRANSFORMS)
    scale: str = described("standard", "how columns are scaled", group=DATA, choices=SCALES)
    scale_each: bool = described(False, "scale every series by itself", group=DATA)
    lookback: int = described(48, "steps of the past that a forecast sees", group=DATA, least=1)
    horizon: int = described(12, "steps to forecast", group=DATA, least=1)
    season: int = described(0, "steps of a season; 0 follows from the times", group=DATA, least=0)
    strategy: str = described(
        "direct", "all steps at once, or each from the one before", group=NETWORK, choices=STRATEGIES
    )
    output_layers: int = output_layers()
    recurrence: str = described(
        "last", "what recurs: the state, with a loss after the lookback (last) or at each of its steps too "
        "(hidden), or the values forecast alone (output)", group=STEPS, choices=PATTERNS,
    )  # fmt: skip
    anchor: str = described(
        "last", "what the network adds to: zero, the last value, that of a season ago", group=NETWORK,
        choices=ANCHORS,
    )  # fmt: skip
    loss: str | None = described(
        None,
        "what is made small (default: quantile, or mse with --quantiles none)",
        group=STEPS,
        choices=LOSSES,
    )
    quantiles: str = described(
        "0.1,0.5,0.9", "of --loss quantile, or none; 0.5 is the forecast", group=NETWORK
    )

    def __post_init__(self) -> None:
        """Check what means something only together."""
        if self.loss in ("mse", "mae"):
            object.__setattr__(self, "quantiles", NONE)  # frozen: this is its birth
        elif self.loss is None:
            object.__setattr__(self, "loss", "mse" if self.quantiles == NONE else "quantile")
        super().__post_init__()
        if self.loss == "quantile" and self.quantiles == NONE:
            raise UsageError("--loss quantile with --quantiles none; expected quantiles such as 0.1,0.5,0.9")
        check_quantiles(self.levels)
        self._check_recurrence()
        if self.past and self.strategy == "recursive":
            raise UsageError(
                f"--past {self.past} with --strategy recursive: its future is not known; expected "
                "--strategy direct"
            )

    def _check_recurrence(self) -> None:
        check_output_recurrence(self)
        if self.recurrence == "output" and self.strategy != "recursive":
            raise UsageError("--recurrence output with --strategy direct; expected --strategy recursive")
        if self.recurrence == "hidden" and self.anchor != "none":
            raise UsageError(
                f"--recurrence hidden with --anchor {self.anchor}: the network would read the lookback less "
                "a value at its end; expected --anchor none"
            )

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantiles as numbers."""
        try:
            return () if self.quantiles == NONE else tuple(map(float, names(self.quantiles)))
        except ValueError as error:
            raise UsageError(f"--quantiles is {self.quantiles!r}; expected numbers: 0.1,0.5,0.9") from error


@dataclass(frozen=True)
class Evaluation(Options):
    """Which windows of the data ``backtime evaluate`` measures."""

    since: str = described("", "forecast only what comes from this time on")
    until: str = described("", "leave out what comes from this time on")
    stride: int = described(1, "steps from one forecast to the next", least=1)


def names(listed: str) -> list[str]:
    """The names in ``"A,B"``."""
    return [name.strip() for name in listed.split(",") if name.strip()]
