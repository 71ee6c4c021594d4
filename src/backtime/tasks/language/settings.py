"""The options of ``--task language``, of ``evaluate`` and of ``sample``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from backtime.data.text.symbols import END_OF_LINE, LEVELS, SIZED, UNKNOWN, Special, check_special
from backtime.errors import UsageError
from backtime.fields import described, flag
from backtime.tasks.base import Options
from backtime.tasks.shared.recurrence import PATTERNS, check_output_recurrence
from backtime.tasks.shared.settings import LAYERS, RecurrentSettings, output_layers
from backtime.training.settings import DATA, NETWORK, STEPS

WORD = ("word",)


def _once(where: str) -> Any:
    """A kind of dropout with one mask for all steps, as AWD-LSTM has it."""
    words = f"{where}, one mask for all time steps (default: --dropout)"
    return described(None, words, group=NETWORK, least=0, below=1)


@dataclass(frozen=True)
class LanguageSettings(RecurrentSettings):
    """A run that learns a text."""

    network_fields = (*LAYERS, "output_layers", "embedding_size", "tie_weights")

    train_file: str | None = described(
        None, "text to train on, in place of DATA; all of it, with --valid-file", group=DATA
    )
    valid_file: str | None = described(None, "text to validate on, in place of a share of DATA", group=DATA)
    test_file: str | None = described(
        None, "text that the best model is measured on when the run ends", group=DATA
    )
    level: str = described("char", "what a symbol is", group=DATA, choices=LEVELS)
    vocabulary_size: int | None = described(
        None,
        "symbols: at word level the most frequent words (default all), at subword level at most (8000)",
        group=DATA,
        least=1,
    )
    unk_token: str = described(UNKNOWN, "word level: what the text calls a word that is not kept", group=DATA)
    eos_token: str = described(END_OF_LINE, "word level: the word that a line's end counts as", group=DATA)
    embedding_size: int = described(
        0, "size of learned symbol vectors; 0 feeds symbols one-hot", group=NETWORK, least=0
    )
    tie_weights: bool = described(False, "share embedding and output weights", group=NETWORK)
    output_layers: int = output_layers()
    recurrence: str = described(
        "hidden", "what recurs: the state (hidden), the symbol alone (output), or the state with a loss "
        "at the last step of a chunk alone (last)", group=STEPS, choices=PATTERNS,
    )  # fmt: skip
    embedding_dropout: float = described(
        0.0, "share of symbols whose vectors are zero for a step of training", group=NETWORK, least=0, below=1
    )
    input_dropout: float | None = _once("of an embedding")
    hidden_dropout: float | None = _once("between layers")
    output_dropout: float | None = _once("before the output")
    weight_dropout: float = described(
        0.0,
        "share of recurrent weights that are zero for a step of training",
        group=NETWORK,
        least=0,
        below=1,
    )
    seq_length: int = described(64, "time steps a gradient goes back", group=STEPS, least=1)
    loss_sum_over_time: bool = described(
        False,
        "train on the loss summed over the steps of a chunk, as published recipes do, not on its mean",
        group=STEPS,
    )

    ar: float = described(
        0.0, "activation regularisation: weight of the mean square of the outputs", group=STEPS, least=0
    )
    tar: float = described(
        0.0, "temporal activation regularisation: of that of their changes in time", group=STEPS, least=0
    )

    def __post_init__(self) -> None:
        """Check what means something only together."""
        super().__post_init__()
        check_output_recurrence(self)
        if self.recurrence == "last" and self.loss_sum_over_time:
            raise UsageError("--loss-sum-over-time with --recurrence last: a chunk has one loss")
        if self.recurrence == "last" and (self.ar or self.tar):
            raise UsageError("--ar or --tar with --recurrence last; expected --recurrence hidden")
        for name in () if self.embedding_size else ("embedding_dropout", "input_dropout"):
            if (value := getattr(self, name)) != getattr(type(self), name):
                raise UsageError(
                    f"{flag(name)} {value:g} with --embedding-size 0; expected learned symbol vectors"
                )
        for name, levels in (("vocabulary_size", SIZED), ("unk_token", WORD), ("eos_token", WORD)):
            value = getattr(self, name)
            if self.level not in levels and value != getattr(type(self), name):
                expected = f"expected --level {' or '.join(levels)}"
                raise UsageError(f"{flag(name)} {value} with --level {self.level}; {expected}")
        check_special(self.special)
        if self.tie_weights and self.embedding_size != self.hidden_size:
            raise UsageError(
                f"--tie-weights with --embedding-size {self.embedding_size} and --hidden-size "
                f"{self.hidden_size}; expected equal sizes"
            )

    @property
    def special(self) -> Special:
        """The words that mean something of their own."""
        return Special(self.unk_token, self.eos_token)

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """As of every task; a run of version 0.1.0 may have a number of words where no words are kept."""
        if isinstance(values, dict) and values.get("level") not in SIZED:
            values = {name: value for name, value in values.items() if name != "vocabulary_size"}
        return super().from_json(values)


@dataclass(frozen=True)
class Evaluation(Options):
    """How a text is read for ``backtime evaluate``."""

    batch_size: int = described(1, "streams the text is cut into", least=1)
    seq_length: int = described(256, "time steps at once", least=1)


@dataclass(frozen=True)
class Sampling:
    """How text is drawn; see ``backtime.runtime.Model.sample``, which checks it."""

    prompt: str = described("", "text to continue (default: a new line)")
    length: int = described(1000, "symbols to draw")
    stop: str | None = described(None, "end before this text")
    temperature: float = described(1.0, "below 1 bolder, above 1 wilder; 0 is --greedy", group="drawing")
    top_k: int = described(0, "only the N likeliest symbols; 0 is all", group="drawing")
    top_p: float = described(1.0, "only the likeliest symbols that make up this mass", group="drawing")
    greedy: bool = described(False, "always the likeliest symbol", group="drawing")
    seed: int = described(0, "same seed, same text", group="drawing")
