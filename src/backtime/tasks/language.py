"""Language modelling: predict each symbol of a text from those before it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from backtime.data.batching.streams import Streams, TokenRow, shifted, split
from backtime.data.text.parts import (
    Files,
    Symbols,
    Text,
    check_predictable,
    count_characters,
    count_words,
    read_parts,
    unknown_share,
    warn_of_unknown,
)
from backtime.data.text.symbols import (
    END_OF_LINE,
    LEVELS,
    SIZED,
    UNKNOWN,
    Special,
    check_special,
)
from backtime.data.text.tokens import prepare_corpus
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError
from backtime.fields import check, described, flag
from backtime.models.config import PLACES, LanguageConfig
from backtime.models.file import ModelFile
from backtime.runtime.model import Model
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.network import LAYERS, RecurrentSettings, output_layers
from backtime.tasks.recurrence import PATTERNS, check_output_recurrence, check_start, fixed_recurrence
from backtime.training.metrics import Measure, Metric
from backtime.training.settings import DATA, NETWORK, STEPS
from backtime.training.task import Carried, Task

if TYPE_CHECKING:
    import torch

    from backtime.models.aligned import LanguageModel

LN_2, MOST = math.log(2), 700.0  # exp(710) is infinity's neighbour


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, MOST))


MEASURES = {
    "char": Measure("bits/char", lambda loss: loss / LN_2),
    "byte": Measure("bits/byte", lambda loss: loss / LN_2),
    "word": Measure("perplexity", _perplexity),
    "subword": Measure("perplexity", _perplexity),
}
NETWORK_FIELDS = (
    *(*LAYERS, "output_layers"),
    *("embedding_size", "tie_weights"),
)
WORD = ("word",)

PRESETS: dict[str, dict[str, Any]] = {
    # a small model in about four minutes on two cores
    "demo": {
        "cell": "gru",
        "hidden_size": 128,
        "layers": 1,
        "seq_length": 64,
        "batch_size": 32,
        "optimizer": "adam",
        "lr": 4e-3,
        "minutes": 4.0,
        "log_every": 200,
    },
    # the defaults of Karpathy's char-rnn (2015)
    "char-rnn": {
        "cell": "lstm",
        "hidden_size": 128,
        "layers": 2,
        "seq_length": 50,
        "batch_size": 50,
        "optimizer": "rmsprop",
        "lr": 2e-3,
        "schedule": "exponential",
        "grad_clip": 5.0,
        "epochs": 50,
        "validation_fraction": 0.05,
    },
    # the small network of Zaremba, Sutskever and Vinyals (arXiv 1409.2329), for words
    "zaremba-small": {
        "level": "word",
        "cell": "lstm",
        "hidden_size": 200,
        "layers": 2,
        "embedding_size": 200,
        "seq_length": 20,
        "batch_size": 20,
        "init_range": 0.1,
        "optimizer": "sgd",
        "lr": 1.0,
        "lr_decay": 0.5,
        "lr_decay_after": 4,
        "grad_clip": 5.0,
        "loss_sum_over_time": True,
        "epochs": 13,
    },
    # under 1.55 nats a character on the tiny Shakespeare text within ten minutes on two cores
    "shakespeare": {
        "cell": "lstm",
        "hidden_size": 256,
        "layers": 2,
        "seq_length": 64,
        "batch_size": 32,
        "dropout": 0.2,
        "optimizer": "adam",
        "lr": 3e-3,
        "schedule": "cosine",
        "warmup": 100,
        "epochs": 12,
        "minutes": 10.0,
    },
}

EXAMPLES = """\
examples:
  backtime train                                     the default corpus and network
  backtime train book.txt --preset demo              a small model in about four minutes
  backtime train book.txt --cell gru --hidden-size 512 --dropout 0.3 --minutes 60
  backtime train --train-file train.txt --valid-file valid.txt --test-file test.txt --preset zaremba-small
  backtime train --resume runs/book-gru-1 --epochs 30"""


def _once(where: str) -> Any:
    """A kind of dropout with one mask for all steps, as AWD-LSTM has it."""
    words = f"{where}, one mask for all time steps (default: --dropout)"
    return described(None, words, group=NETWORK, least=0, below=1)


@dataclass(frozen=True)
class LanguageSettings(RecurrentSettings):
    """A run that learns a text."""

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
class Evaluation:
    """How a text is read for ``backtime evaluate``."""

    batch_size: int = described(1, "streams the text is cut into", least=1)
    seq_length: int = described(256, "time steps at once", least=1)

    def __post_init__(self) -> None:
        """Check every value."""
        check(self)


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


class LanguageTask(Task):
    """A model on a text: the training part in B streams, the validation part to its last token.

    Raises ``UsageError`` when a part is too short.
    """

    def __init__(self, model: LanguageModel, data: Text, settings: LanguageSettings) -> None:
        """Split the text and lay the streams out."""
        self.network, self.data, self.settings = model, data, settings
        training, held_out = split(data.tokens, 0.0 if data.held_out else settings.validation_fraction)
        self.training, self.streams = training, self._streams(training, 0)
        self.held_out: TokenRow | None = data.held_out or (held_out if len(held_out) else None)
        if data.held_out is None and self.held_out is not None and len(self.held_out) < 2:
            raise UsageError(
                f"--validation-fraction {settings.validation_fraction} leaves 1 token to validate on; "
                "expected 0 or at least 2 tokens: raise it"
            )
        self.steps_per_epoch = len(self.streams)
        if settings.loss_sum_over_time:
            self.gradient_scale = float(settings.seq_length)  # every chunk has so many steps
        self.metrics = KIND.metrics(settings)

    @property
    def model(self) -> LanguageModel:
        """The language model."""
        return self.network

    def initial_state(self) -> Carried:
        """Zeros for each stream."""
        return self.model.initial_state(len(self.streams.columns))

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a chunk of the training part, nats a token; every epoch reads the same chunks.

        With the loss at their last step alone they begin a token later in each epoch.
        """
        from backtime.training.devices import tensors

        streams = self.streams if self.settings.recurrence != "last" else self._streams(self.training, epoch)
        x, targets = tensors(streams.chunk(step), self.model)
        if self.settings.recurrence == "last":
            loss, after = self.model.last_loss(x, targets[-1], carried)
            return loss, after, targets.shape[1]
        loss, after = self.model.loss(x, targets, carried, self.settings.ar, self.settings.tar)
        return loss, after, targets.numel()

    def _streams(self, training: TokenRow, epoch: int) -> Streams:
        """The chunks of an epoch."""
        if self.settings.recurrence == "last":
            training = shifted(training, self.settings.seq_length, epoch)
        return Streams(training, self.settings.batch_size, self.settings.seq_length)

    def look(self, epoch: int, step: int) -> dict[str, float | str | None]:
        """The gradient through time of a stream of a chunk."""
        from backtime.insight.language.short import SEQUENCES, short_form
        from backtime.training.devices import tensors

        x, targets = tensors(self.streams.chunk(step), self.model)
        return short_form(self.model, x[:, :SEQUENCES], targets[:, :SEQUENCES])

    def validate(self) -> dict[str, float]:
        """Mean loss of the validation part, nats a token, in eval mode, its state carried from zeros."""
        from backtime.training.text_loss import text_loss

        if self.held_out is None:
            return {}
        sizes = self.settings.batch_size, self.settings.seq_length
        return {"loss": text_loss(self.model, self.held_out, *sizes)}

    def save_model(self, path: Path) -> None:
        """Write the model file."""
        from backtime.models.saving import save_model

        save_model(path, self.model, KIND.name, self.data.encoding)


class LanguageKind(TaskKind):
    """Language modelling."""

    name = "language"
    settings, evaluation, sampling = LanguageSettings, Evaluation, Sampling
    presets, examples = PRESETS, EXAMPLES
    data, default_data = "text file or folder (default: the sources of Python's standard library)", "python"

    def metrics(self, settings: LanguageSettings) -> tuple[Metric, ...]:
        """The loss alone; people read it in bits, or as perplexity."""
        return (Metric("loss", "nats a token", measure=MEASURES[settings.level]),)

    def prepare(
        self,
        source: Path | None,
        settings: LanguageSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Text:
        """The text as numbers, in ``tokens.bin`` of the folder; of a lost text those that are there."""
        if settings.train_file and source:
            raise UsageError(f"--train-file {settings.train_file} beside DATA {source}; expected one of them")
        known = None if encoding is None else Vocabulary.from_json(encoding.get("vocabulary"))
        files = Files(settings.train_file or source, settings.valid_file, settings.test_file)
        symbols = Symbols(settings.level, settings.vocabulary_size, settings.special)
        return read_parts(files, folder, symbols, known, tell)

    def build(self, data: Text, settings: LanguageSettings, start: ModelFile | None) -> LanguageTask:
        """The language model that the settings ask for."""
        from backtime.models.aligned import LanguageModel
        from backtime.models.saving import begun_from
        from backtime.training.devices import on_device

        check_start(settings, start)
        model = begun_from(start, LanguageModel(_config(settings, len(data.vocabulary))))
        return LanguageTask(on_device(model, settings.device), data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network, level and vocabulary."""
        vocabulary = Vocabulary.from_json(start.encoding["vocabulary"])
        fixed = {name: getattr(start.config, name) for name in NETWORK_FIELDS} | {"level": vocabulary.level}
        fixed |= fixed_recurrence(start)
        if vocabulary.level in SIZED:
            fixed["vocabulary_size"] = len(vocabulary)
        return fixed | dict(zip(("unk_token", "eos_token"), vocabulary.special, strict=True))

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """Scores of the model on a text, every token but the first counted once.

        - ``loss``: nats a token; ``perplexity``: its exponential
        - ``bits_per_character``; at the other levels also ``bits_per_byte``, ``bits_per_word`` or
          ``bits_per_subword``, a token's share. The first is that times tokens and divided by characters of
          the text.
        - ``tokens`` and ``characters`` of the text; at word level the share of ``unknown`` words. A model
          knows of such a word only that it is one, so that many of them make every other number too good;
          a ``DataWarning`` says so from a tenth on
        - at subword level ``perplexity_per_word``: the probability of the same text, for each of its
          ``words``, ends of lines among them, as a model of words counts them

        ``batch_size`` streams are read side by side, each from a zero state; 1 reads the text as one.
        """
        from backtime.models.saving import build_model
        from backtime.training.text_loss import text_loss

        vocabulary = Vocabulary.from_json(model.encoding["vocabulary"])
        tokens, _ = prepare_corpus(source, folder, vocabulary=vocabulary)
        check_predictable(tokens, source)
        loss = text_loss(build_model(model), tokens, options.batch_size, options.seq_length)
        count, level, bits = len(tokens), vocabulary.level, loss / LN_2
        characters = count if level == "char" else count_characters(source, level)
        scores: Scores = {"loss": loss, "perplexity": _perplexity(loss)}
        if level != "char":
            scores[f"bits_per_{level}"] = bits
        sizes: Scores = {"tokens": count, "characters": characters}
        if level == "subword":
            words = count_words(source, level)
            scores["perplexity_per_word"], sizes["words"] = _perplexity(loss * count / words), words
        if level == "word":
            sizes["unknown"] = unknown_share(tokens, vocabulary)
            warn_of_unknown(sizes["unknown"], str(source), vocabulary)
        return scores | {"bits_per_character": bits * count / characters, **sizes}

    def predictor(self, model: ModelFile) -> Model:
        """The runtime's model: it scores lines of text and writes text, without PyTorch."""
        return Model(model)


KIND = LanguageKind()


def _config(settings: LanguageSettings, vocabulary_size: int) -> LanguageConfig:
    chosen = {name: getattr(settings, name) for name in (*NETWORK_FIELDS, "dropout", *PLACES)}
    recurs = settings.recurrence == "output"
    return LanguageConfig(vocabulary_size=vocabulary_size, output_recurrence=recurs, **chosen)
