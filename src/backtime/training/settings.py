"""What every run has to choose, whatever its task: one record, checked when made, kept in the run folder.

A task adds its own choices in a subclass. All of them are fields that carry help, range and default
(``backtime.fields``), from which the command line is made.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from backtime.errors import UsageError
from backtime.fields import check, described, flag, read

LEARNING_RATES = {
    "adam": 2e-3,
    "adamw": 2e-3,
    "rmsprop": 2e-3,
    "sgd": 1.0,
    "asgd": 1.0,
}  # where --lr is not given
SCHEDULES = ("constant", "cosine", "exponential", "plateau")

MOST_THREADS = 1024  # PyTorch dies of a number that the system cannot give

# What a resumed run may change: how long it goes on and how it runs, never what it computes.
RUN_LENGTH = ("epochs", "minutes", "max_steps", "patience", "save_minutes", "threads")

RUN, DATA, NETWORK, STEPS, LENGTH = GROUPS = ("run", "data", "network", "training", "length and rhythm")
_RATES = ", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items())


@dataclass(frozen=True)
class Settings:
    """The settings of a run; the names are those of ``backtime train``'s options.

    Raises ``UsageError`` naming the option when a value is impossible.
    """

    seed: int = described(1, "of all random numbers", group=RUN, least=0, below=2**32)
    device: str = described("cpu", "where to compute: cpu, cuda, ...", group=RUN)
    threads: int | None = described(
        None, "CPU threads (default: PyTorch's choice)", group=RUN, least=1, below=MOST_THREADS + 1
    )

    validation_fraction: float = described(
        0.05, "share of the data, at its end, to validate on", group=DATA, least=0, below=1
    )

    batch_size: int = described(32, "sequences read side by side", group=STEPS, least=1)
    optimizer: str = described(
        "adam", "how weights follow gradients", group=STEPS, choices=tuple(LEARNING_RATES)
    )
    average_after: int = described(
        5,
        "asgd: averaging begins at a validation worse than the best of those more than N before it",
        group=STEPS,
        least=0,
    )
    lr: float | None = described(None, f"learning rate (default: {_RATES})", group=STEPS, above=0)
    weight_decay: float = described(0.0, "pull of the weights to zero", group=STEPS, least=0)
    grad_clip: float = described(5.0, "largest norm of the gradient; 0 does not clip", group=STEPS, least=0)
    clip_value: float = described(
        0.0, "largest value in the gradient, cut before its norm is; 0 does not cut", group=STEPS, least=0
    )
    schedule: str = described("constant", "course of the learning rate", group=STEPS, choices=SCHEDULES)
    warmup: int = described(0, "steps in which the rate rises from zero", group=STEPS, least=0)
    lr_decay: float = described(
        1.0, "factor on the learning rate, for each epoch after --lr-decay-after", group=STEPS, above=0
    )
    lr_decay_after: int = described(0, "whole epochs before --lr-decay begins", group=STEPS, least=0)

    epochs: int = described(10, "passes through the data", group=LENGTH, least=1)
    minutes: float | None = described(None, "stop after X minutes of training", group=LENGTH, above=0)
    max_steps: int | None = described(None, "stop after N steps", group=LENGTH, least=1)
    patience: int | None = described(
        None, "stop after N validations without a better one", group=LENGTH, least=1
    )
    log_every: int = described(20, "steps between log lines", group=LENGTH, least=1)
    flow_every: int | None = described(
        None,
        "steps between looks at the gradient through time, into the log and the curves",
        group=LENGTH,
        least=1,
    )
    validate_every: int | None = described(
        None, "steps between validations (default: an epoch, at most 1000)", group=LENGTH, least=1
    )
    save_every: int | None = described(
        None, "steps between saves (default: at each validation)", group=LENGTH, least=1
    )
    save_minutes: float = described(
        5.0,
        "save too when the last save is X minutes ago; 0: by steps alone",
        group=LENGTH,
        least=0,
    )

    def __post_init__(self) -> None:
        """Check every value and fill in the learning rate."""
        if self.lr is None and self.optimizer in LEARNING_RATES:
            object.__setattr__(self, "lr", LEARNING_RATES[self.optimizer])  # frozen: this is its birth
        check(self)
        judged = self.patience or self.schedule == "plateau" or self.optimizer == "asgd"
        if not self.validation_fraction and judged:
            raise UsageError(
                "--validation-fraction is 0; --patience, --schedule plateau and --optimizer asgd need a "
                "validation part"
            )
        if self.average_after != type(self).average_after and self.optimizer != "asgd":
            raise UsageError(
                f"--average-after {self.average_after} with --optimizer {self.optimizer}; "
                "expected --optimizer asgd"
            )

    @property
    def rate(self) -> float:
        """The learning rate, given or the optimiser's own."""
        return float(self.lr) if self.lr is not None else LEARNING_RATES[self.optimizer]

    @property
    def label(self) -> str:
        """A word for the name of the run folder."""
        return "run"

    def to_json(self) -> dict[str, Any]:
        """The settings as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The settings of ``to_json``; raises ``UsageError`` where it is something else."""
        settings: Self = read(cls, values, "the settings")
        return settings

    def resumed_with(self, given: dict[str, Any]) -> Self:
        """These settings with the run's length as ``given``; ``UsageError`` if more differs."""
        for name, value in given.items():
            if name not in RUN_LENGTH and value != getattr(self, name):
                raise UsageError(
                    f"{flag(name)} {value} conflicts with the run's {getattr(self, name)}; "
                    f"in a resume only {', '.join(map(flag, RUN_LENGTH))} may change"
                )
        return dataclasses.replace(
            self, **{name: value for name, value in given.items() if name in RUN_LENGTH}
        )
