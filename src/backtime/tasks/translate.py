"""Translation: a text in, another text out."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import Buckets
from backtime.data.batching.steps import LEVELS
from backtime.data.lexicon import Lexicon, opened
from backtime.data.pairs import Pair, held_out, joined, read_pairs, split_text
from backtime.errors import UsageError
from backtime.fields import check, described
from backtime.models.encoder_decoder_config import EncoderDecoderConfig
from backtime.models.file import ModelFile
from backtime.runtime.translator import BEAM, Translator
from backtime.tasks import scores
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.network import LAYERS, RecurrentSettings
from backtime.training.metrics import Metric
from backtime.training.settings import DATA, LENGTH, NETWORK, STEPS
from backtime.training.task import Carried, Task

if TYPE_CHECKING:
    import torch

    from backtime.models.encoder_decoder import EncoderDecoder, PairBatch

Numbers = NDArray[np.int64]
NETWORK_FIELDS = (*LAYERS, "embedding_size", "attention")
MEASURED_AT_ONCE = 64  # pairs

EXAMPLES = """\
examples:
  backtime train fra-eng.txt --task translate --attention
  backtime train english.txt --task translate --target-file french.txt
  backtime evaluate runs/fra-eng-gru-1 test.tsv
  backtime predict runs/fra-eng-gru-1 new.txt --picture attention.svg"""


@dataclass(frozen=True)
class TranslateSettings(RecurrentSettings):
    """A run that learns to translate."""

    target_file: str | None = described(
        None, "translations of the lines of DATA, where they are no tab-separated pairs", group=DATA
    )
    level: str = described("word", "what a symbol is", group=DATA, choices=LEVELS)
    min_count: int = described(2, "how often a symbol comes at least to be known", group=DATA, least=1)
    longest: int = described(50, "symbols; pairs with a longer text are left out", group=DATA, least=1)
    validation_fraction: float = described(
        0.02, "share of the source texts, by their hash, to validate on", group=DATA, least=0, below=1
    )
    cell: str = described("gru", "kind of recurrent layer", group=NETWORK, choices=("rnn", "gru", "lstm"))
    hidden_size: int = described(256, "units a layer", group=NETWORK, least=1)
    layers: int = described(1, "recurrent layers, one above the other", group=NETWORK, least=1)
    embedding_size: int = described(128, "length of a symbol's vector", group=NETWORK, least=1)
    attention: bool = described(False, "look at all of the source at each step", group=NETWORK)
    dropout: float = described(
        0.2, "share of units dropped: vectors, layers, output", group=NETWORK, least=0, below=1
    )
    teacher_forcing: float = described(
        1.0, "share of right symbols that the writing is fed at the end; it falls from 1 epoch by epoch",
        group=STEPS, least=0,
    )  # fmt: skip
    batch_size: int = described(64, "pairs side by side", group=STEPS, least=1)
    epochs: int = described(10, "passes through the data", group=LENGTH, least=1)

    def __post_init__(self) -> None:
        """Check what means something only together."""
        super().__post_init__()
        if self.teacher_forcing > 1:
            raise UsageError(f"--teacher-forcing is {self.teacher_forcing:g}; expected a share, 0 to 1")


@dataclass(frozen=True)
class Evaluation:
    """How translations are written and measured."""

    beam: int = described(BEAM, "texts written side by side", least=1)
    most: int = described(0, "pairs that are translated; 0 is all", least=0)

    def __post_init__(self) -> None:
        """Check every value."""
        check(self)


@dataclass(frozen=True)
class Pairs:
    """Numbered pairs to train on and to validate on."""

    training: list[tuple[Numbers, Numbers]]
    held_out: list[tuple[Numbers, Numbers]]
    sources: Lexicon
    targets: Lexicon
    level: str

    @property
    def fingerprint(self) -> str:
        """Of the numbers."""
        found = hashlib.blake2b(digest_size=16)
        for part in (self.training, self.held_out):
            for own in part:
                for side in own:
                    found.update(np.array([len(side)]).tobytes() + side.tobytes())
            found.update(b"end")
        return found.hexdigest()

    @property
    def encoding(self) -> dict[str, Any]:
        """The symbols of both sides, and what a symbol is."""
        sides = {"sources": self.sources.to_json(), "targets": self.targets.to_json()}
        return {**sides, "level": {"level": self.level}}

    def describe(self) -> str:
        """Pairs and symbols."""
        sizes = f"{len(self.training):,} pairs, {len(self.held_out):,} to validate on"
        return f"{sizes}, {len(self.sources):,} and {len(self.targets):,} symbols"


class TranslateTask(Task):
    """An encoder-decoder and its pairs, in batches whose sources are about as long as each other."""

    metrics = (Metric("loss", "nats a symbol"),)

    def __init__(self, network: EncoderDecoder, data: Pairs, settings: TranslateSettings) -> None:
        """Lay the batches out."""
        self.network, self.data, self.settings = network, data, settings
        lengths = [len(source) for source, _ in data.training]
        self.buckets = Buckets(lengths, settings.batch_size, settings.seed)
        self.steps_per_epoch = len(self.buckets)

    @property
    def model(self) -> EncoderDecoder:
        """The encoder-decoder."""
        return self.network

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch of pairs, nats a symbol."""
        chosen = [self.data.training[n] for n in self.buckets.batch(epoch, step)]
        batch = batch_of(chosen, self.network)
        if self.network.training:
            batch = self._mixed(batch, epoch)
        return self.network.loss(batch), None, int(batch.lengths.sum())

    def _mixed(self, batch: PairBatch, epoch: int) -> PairBatch:
        """Some inputs are what the network itself would have written: two passes, all steps at once.

        Scheduled sampling (Bengio et al., arXiv 1506.03099), in parallel (Duckworth et al., 1906.04331).
        """
        import torch

        done = epoch / max(1, self.settings.epochs - 1)
        own = (1 - self.settings.teacher_forcing) * min(1.0, done)
        if own <= 0:
            return batch
        guesses = self.network.guesses(batch)[:-1]
        taken = torch.rand(guesses.shape, device=guesses.device) < own
        later = torch.where(taken, guesses, batch.inputs[1:])
        return batch._replace(inputs=torch.cat([batch.inputs[:1], later]))

    def validate(self) -> dict[str, float]:
        """The loss on the pairs that are held out, each step after the right ones."""
        if not self.data.held_out:
            return {}
        return {"loss": measure(self.network, self.data.held_out)}

    def save_model(self, path: Path) -> None:
        """Write the model file."""
        from backtime.models.saving import save_model

        save_model(path, self.network, KIND.name, self.data.encoding)


class TranslateKind(TaskKind):
    """Translation."""

    name, settings, evaluation = "translate", TranslateSettings, Evaluation
    data = "pairs of texts: two columns with a tab between them, or a file beside --target-file"
    examples = EXAMPLES

    def metrics(self, settings: TranslateSettings) -> tuple[Metric, ...]:
        """The loss."""
        return TranslateTask.metrics

    def prepare(
        self,
        source: Path | None,
        settings: TranslateSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Pairs:
        """All pairs, in memory; those with a text that is too long are left out, and counted."""
        scores.check_installed("sacrebleu")
        source = self.required(source)
        targets = Path(settings.target_file) if settings.target_file else None
        every = list(read_pairs(source, targets))
        kept = [own for own in every if _longest(own, settings.level) <= settings.longest]
        if len(kept) < len(every):
            many = f"{len(every) - len(kept):,} of {len(every):,} pairs"
            tell(f"{many} have more than {settings.longest} symbols: left out")
        set_aside = [held_out(own.source, settings.validation_fraction, settings.seed) for own in kept]
        training = [own for own, aside in zip(kept, set_aside, strict=True) if not aside]
        if not training:
            raise UsageError(f"{source} has no pairs to train on, of at most {settings.longest} symbols")
        sides = (
            [_count(training, side, settings) for side in ("source", "target")]
            if encoding is None
            else [Lexicon.from_json(encoding[name]) for name in ("sources", "targets")]
        )
        others = [own for own, aside in zip(kept, set_aside, strict=True) if aside]
        own, aside = (_numbered(part, sides[0], sides[1], settings.level) for part in (training, others))
        return Pairs(own, aside, sides[0], sides[1], settings.level)

    def build(self, data: Pairs, settings: TranslateSettings, start: ModelFile | None) -> TranslateTask:
        """The encoder-decoder that the settings ask for."""
        from backtime.models.encoder_decoder import EncoderDecoder
        from backtime.models.saving import begun_from
        from backtime.training.devices import on_device

        chosen = {name: getattr(settings, name) for name in (*NETWORK_FIELDS, "dropout")}
        sizes: dict[str, Any] = {"sources": len(data.sources), "targets": len(data.targets)}
        network = begun_from(start, EncoderDecoder(EncoderDecoderConfig(**chosen, **sizes)))
        return TranslateTask(on_device(network, settings.device), data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and level."""
        fixed = {name: getattr(start.config, name) for name in NETWORK_FIELDS}
        return fixed | {"level": start.encoding["level"]["level"]}

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """BLEU and chrF of sacrebleu, of what is written against all translations that a source text has.

        At word level both sides are words and signs without case, with spaces between them.
        """
        translator = Translator(model)
        references: dict[str, list[str]] = {}
        for own in read_pairs(source):
            words = split_text(own.target, translator.level)
            references.setdefault(own.source, []).append(joined(words, translator.level))
        if not references:
            raise UsageError(f"{source} has no pairs in it; expected texts and their translations")
        texts = list(references)[: options.most or None]
        written = [str(row["translation"]) for row in translator.predict(texts, options.beam)]
        found = scores.translation_scores(written, [references[text] for text in texts])
        return {**found, "texts": len(texts)}

    def predictor(self, model: ModelFile) -> Translator:
        """The runtime's translator, without PyTorch."""
        return Translator(model)


KIND = TranslateKind()


def batch_of(pairs: list[tuple[Numbers, Numbers]], network: EncoderDecoder) -> PairBatch:
    """Pairs as padded tensors where the network is."""
    import torch

    from backtime.models.encoder_decoder import PairBatch

    device, end = network.head.weight.device, network.config.end
    inputs = [np.concatenate([[end], target]) for _, target in pairs]
    outputs = [np.concatenate([target, [end]]) for _, target in pairs]
    columns = [_padded([source for source, _ in pairs]), _lengths([source for source, _ in pairs])]
    columns += [_padded(inputs), _padded(outputs), _lengths(inputs)]
    return PairBatch(*(torch.from_numpy(own).to(device) for own in columns))


def measure(network: EncoderDecoder, pairs: list[tuple[Numbers, Numbers]]) -> float:
    """Mean loss in nats a symbol, each step after the right ones."""
    from backtime.training.devices import measuring

    buckets = Buckets([len(source) for source, _ in pairs], MEASURED_AT_ONCE, shuffle=False)
    total, count = 0.0, 0
    with measuring(network):
        for k in range(len(buckets)):
            batch = batch_of([pairs[n] for n in buckets.batch(0, k)], network)
            symbols = int(batch.lengths.sum())
            total += network.loss(batch).item() * symbols
            count += symbols
    return total / count


def _padded(rows: list[Numbers]) -> Numbers:
    found = np.zeros((max(map(len, rows)), len(rows)), np.int64)
    for n, row in enumerate(rows):
        found[: len(row), n] = row
    return found


def _lengths(rows: list[Numbers]) -> Numbers:
    return np.array([len(row) for row in rows], np.int64)


def _longest(own: Pair, level: str) -> int:
    return max(len(split_text(text, level)) for text in (own.source, own.target))


def _count(pairs: list[Pair], side: str, settings: TranslateSettings) -> Lexicon:
    counts = Counter(symbol for own in pairs for symbol in split_text(getattr(own, side), settings.level))
    return opened("symbol", counts, settings.min_count)


def _numbered(
    pairs: list[Pair], sources: Lexicon, targets: Lexicon, level: str
) -> list[tuple[Numbers, Numbers]]:
    found = []
    for own in pairs:
        sides = split_text(own.source, level), split_text(own.target, level)
        if not all(sides):
            raise UsageError(f"{own.place} has a text without a word; expected words on both sides")
        numbers = (sources.numbers(sides[0]), targets.numbers(sides[1]))
        found.append((np.array(numbers[0], np.int64), np.array(numbers[1], np.int64)))
    return found
