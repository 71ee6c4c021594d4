"""Every choice that makes a run what it is: one record, checked when made, kept in the run folder."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from backtime.errors import UsageError

CHOICES: dict[str, tuple[str, ...]] = {
    "level": ("char", "byte", "word"),
    "cell": ("rnn", "gru", "lstm"),
    "activation": ("tanh", "relu", "sigmoid", "identity"),
    "optimizer": ("adam", "adamw", "rmsprop", "sgd"),
    "schedule": ("constant", "cosine", "exponential", "plateau"),
}
LEARNING_RATES = {"adam": 2e-3, "adamw": 2e-3, "rmsprop": 2e-3, "sgd": 1.0}  # where --lr is not given

# What a resumed run may change: how long it goes on and how it runs, never what it computes.
RUN_LENGTH = ("epochs", "minutes", "max_steps", "patience", "threads")


@dataclass(frozen=True)
class Settings:
    """The settings of a run; the names are those of ``backtime train``'s options.

    Raises ``UsageError`` naming the option when a value is impossible.
    """

    # the text
    level: str = "char"
    vocabulary_size: int = 10_000  # word level: the most frequent words that get a number of their own
    validation_fraction: float = 0.05  # of the text, from its end
    # the network
    cell: str = "lstm"
    hidden_size: int = 256
    layers: int = 2
    embedding_size: int = 0  # 0: one-hot input
    tie_weights: bool = False  # the output weights are the embedding's
    activation: str = "tanh"  # rnn only
    reset_after: bool = True  # gru only: the reset gate after the product, as PyTorch has it, or before
    dropout: float = 0.0
    # the steps
    seq_length: int = 64
    batch_size: int = 32
    optimizer: str = "adam"
    lr: float | None = None  # None: the optimiser's own, LEARNING_RATES
    weight_decay: float = 0.0
    grad_clip: float = 5.0  # norm of the whole gradient; 0: no clipping
    schedule: str = "constant"
    warmup: int = 0  # steps of linear rise at the start
    seed: int = 1
    device: str = "cpu"
    # its length
    epochs: int = 10
    minutes: float | None = None
    max_steps: int | None = None
    patience: int | None = None  # validations without a better loss before the run stops
    threads: int | None = None
    # its rhythm, in steps
    log_every: int = 20
    validate_every: int | None = None  # None: once an epoch, and at least every 1000 steps
    save_every: int | None = None  # None: at each validation

    def __post_init__(self) -> None:
        """Check every value and fill in the learning rate."""
        if self.lr is None and self.optimizer in LEARNING_RATES:
            object.__setattr__(self, "lr", LEARNING_RATES[self.optimizer])  # frozen: this is its birth
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"{option(name)} is {getattr(self, name)!r}; expected one of {', '.join(allowed)}"
                )
        for name in _FROM_ONE:
            self._check(name, 1, "1 or more")
        for name in ("embedding_size", "weight_decay", "grad_clip", "warmup"):
            self._check(name, 0, "0 or more")
        for name in ("dropout", "validation_fraction"):
            self._check(name, 0, "0 or more and less than 1", below=1)
        for name in ("lr", "minutes"):
            self._check(name, 0, "a number above 0", above=True)
        self._check("seed", 0, "from 0 to 2**32 - 1", below=2**32)
        self._check_belonging()

    def _check(
        self, name: str, least: float, words: str, below: float = math.inf, above: bool = False
    ) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if not (least < value < below if above else least <= value < below):
            raise UsageError(f"{option(name)} is {value}; expected {words}")

    def _check_belonging(self) -> None:
        """Settings that mean something only together."""
        if self.tie_weights and self.embedding_size != self.hidden_size:
            raise UsageError(
                f"--tie-weights with --embedding-size {self.embedding_size} and --hidden-size "
                f"{self.hidden_size}; expected equal sizes"
            )
        if self.activation != "tanh" and self.cell != "rnn":
            raise UsageError(f"--activation {self.activation} with --cell {self.cell}; expected --cell rnn")
        if not self.reset_after and self.cell != "gru":
            raise UsageError(f"--reset-before with --cell {self.cell}; expected --cell gru")
        if not self.validation_fraction and (self.patience or self.schedule == "plateau"):
            raise UsageError(
                "--validation-fraction is 0; --patience and --schedule plateau need a validation part"
            )

    @property
    def rate(self) -> float:
        """The learning rate, given or the optimiser's own."""
        return float(self.lr) if self.lr is not None else LEARNING_RATES[self.optimizer]

    def to_json(self) -> dict[str, Any]:
        """The settings as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Settings":
        """The settings of ``to_json``; raises ``UsageError`` on a name that this version does not know."""
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise UsageError(f"settings hold {unknown[0]!r}, which this version of backtime does not know")
        return cls(**values)

    def resumed_with(self, given: dict[str, Any]) -> "Settings":
        """These settings with the run's length as ``given``; ``UsageError`` if more differs."""
        for name, value in given.items():
            if name not in RUN_LENGTH and value != getattr(self, name):
                raise UsageError(
                    f"{option(name)} {value} conflicts with the run's {getattr(self, name)}; "
                    f"in a resume only {', '.join(map(option, RUN_LENGTH))} may change"
                )
        return dataclasses.replace(
            self, **{name: value for name, value in given.items() if name in RUN_LENGTH}
        )


_FROM_ONE = (
    "vocabulary_size",
    "hidden_size",
    "layers",
    "seq_length",
    "batch_size",
    "epochs",
    "max_steps",
    "patience",
    "threads",
    "log_every",
    "validate_every",
    "save_every",
)


def option(name: str) -> str:
    """The command line's name of a setting."""
    return "--" + name.replace("_", "-")
