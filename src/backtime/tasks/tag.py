"""Tagging: a tag for every word of a sentence. Parts of speech, slots, names of people and places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import Buckets, pack
from backtime.data.columns import Places, Sentence, read_tagged
from backtime.data.lexicon import Lexicon, unread, with_unread
from backtime.data.tagged import (
    PARTS,
    Lexicons,
    Tagged,
    batch_of,
    count_lexicons,
    has_entities,
    read_lexicons,
    read_parts,
    tag_numbers,
)
from backtime.errors import UsageError
from backtime.fields import check, described
from backtime.models.file import ModelFile
from backtime.models.tagger_config import TaggerConfig
from backtime.runtime.tagger import Tagger
from backtime.runtime.viterbi import best_paths, field_of
from backtime.tasks import scores
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.network import LAYERS, RecurrentSettings, output_layers
from backtime.training.metrics import Metric
from backtime.training.settings import DATA, LENGTH, NETWORK, STEPS
from backtime.training.task import Carried, Task

if TYPE_CHECKING:
    import torch

    from backtime.insight.decisions import Question
    from backtime.models.tagger import Tagger as Network

NETWORK_FIELDS = (
    *(*LAYERS, "output_layers"),
    *("word_size", "character_size", "spelling_size", "crf"),
)
MEASURED_AT_ONCE = 64  # sentences

EXAMPLES = """\
examples:
  backtime train en_ewt-ud-train.conllu --task tag --valid-file en_ewt-ud-dev.conllu
  backtime train snips/train --task tag --valid-file snips/valid --crf --metric f1
  backtime predict runs/train-lstm-1 sentences.txt"""


@dataclass(frozen=True)
class TagSettings(RecurrentSettings):
    """A run that learns to tag words."""

    word_column: int = described(
        0, "column of the words, from 1 (default: the first; of CoNLL-U the second)",
        group=DATA, least=0, tell_default=False,
    )  # fmt: skip
    tag_column: int = described(
        0, "column of the tags, from 1 (default: the last; of CoNLL-U the fourth, UPOS)",
        group=DATA, least=0, tell_default=False,
    )  # fmt: skip
    valid_file: str | None = described(None, "data to validate on, in place of a share of DATA", group=DATA)
    min_count: int = described(1, "how often a word comes at least to have a vector", group=DATA, least=1)
    metric: str = described(
        "accuracy", "what makes a model the best: share of tags, or F1 of entities tagged B-X I-X O",
        group=DATA, choices=("accuracy", "f1"),
    )  # fmt: skip
    hidden_size: int = described(150, "units a layer and direction", group=NETWORK, least=1)
    layers: int = described(1, "recurrent layers, one above the other", group=NETWORK, least=1)
    dropout: float = described(
        0.5, "share dropped of the layers' input and output", group=NETWORK, least=0, below=1
    )
    output_layers: int = output_layers()
    word_size: int = described(100, "length of a word's vector", group=NETWORK, least=1)
    character_size: int = described(32, "length of a character's vector", group=NETWORK, least=1)
    spelling_size: int = described(
        50, "units that read a word's characters, a direction", group=NETWORK, least=1
    )
    crf: bool = described(
        False, "score tags that follow each other: a conditional random field", group=NETWORK
    )
    word_dropout: float = described(
        0.25, "A: a word that came N times is read as unknown with probability A / (A + N)",
        group=STEPS, least=0,
    )  # fmt: skip
    epochs: int = described(12, "passes through the data", group=LENGTH, least=1)


@dataclass(frozen=True)
class Evaluation:
    """How many sentences are tagged at once."""

    batch_size: int = described(MEASURED_AT_ONCE, "sentences at once", least=1)

    def __post_init__(self) -> None:
        """Check every value."""
        check(self)


class TagTask(Task):
    """A tagger and its sentences, in batches of sentences about as long as each other."""

    def __init__(self, network: Network, data: Tagged, settings: TagSettings) -> None:
        """Number the tags; how often each word came decides how often it is read as unknown."""
        self.network, self.data = network, data
        self.tags = [tag_numbers(sentence, data.lexicons) for sentence in data.training]
        self.buckets = Buckets([len(own) for own in self.tags], settings.batch_size, settings.seed)
        self.steps_per_epoch = len(self.buckets)
        self.metrics = KIND.metrics(settings)
        words = data.lexicons["words"]
        numbers = (words.numbers(map(str.lower, own.words)) for own in data.training)
        self.unread = unread(numbers, len(words), settings.word_dropout)

    @property
    def model(self) -> Network:
        """The tagger."""
        return self.network

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch of sentences, nats a word."""
        from backtime.training.devices import tensors

        chosen = self.buckets.batch(epoch, step)
        batch = batch_of([self.data.training[n] for n in chosen], self.data.lexicons)
        if self.network.training:  # a save measures the next step, and must not draw
            batch = batch._replace(words=with_unread(batch.words, self.unread))
        (tags,) = tensors((pack([self.tags[n] for n in chosen]).rows,), self.network)
        return self.network.loss(batch, tags), None, len(tags)

    def validate(self) -> dict[str, float]:
        """The metrics on the sentences that are held out."""
        if not self.data.held_out:
            return {}
        found = measure(self.network, self.data.held_out, self.data.lexicons, MEASURED_AT_ONCE)
        return {metric.name: float(found[metric.name]) for metric in self.metrics}

    def save_model(self, path: Path) -> None:
        """Write the model file."""
        from backtime.models.saving import save_model

        save_model(path, self.network, KIND.name, self.data.encoding)


class TagKind(TaskKind):
    """Tagging words."""

    name, settings, evaluation = "tag", TagSettings, Evaluation
    data = "columns (a word and its tag a line), CoNLL-U, or a folder with seq.in and seq.out"
    examples = EXAMPLES

    def metrics(self, settings: TagSettings) -> tuple[Metric, ...]:
        """The one that was chosen, the share of right tags, the loss."""
        f1 = (Metric("f1", better="max"),) if settings.metric == "f1" else ()
        return (*f1, Metric("accuracy", better="max"), Metric("loss", "nats a word"))

    def prepare(
        self,
        source: Path | None,
        settings: TagSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Tagged:
        """All sentences, in memory."""
        scores.check_installed()
        columns = Places(settings.word_column, settings.tag_column)
        valid = Path(settings.valid_file) if settings.valid_file else None
        training, held_out = read_parts(self.required(source), valid, settings.validation_fraction, columns)
        lexicons = (
            count_lexicons(training, settings.min_count) if encoding is None else read_lexicons(encoding)
        )
        for sentence in [*training, *held_out]:
            tag_numbers(sentence, lexicons)
        if settings.metric == "f1" and not has_entities(lexicons["tags"]):
            raise UsageError("--metric f1 needs tags of entities, B-X I-X O; try --metric accuracy")
        return Tagged(training, held_out, lexicons, columns)

    def build(self, data: Tagged, settings: TagSettings, start: ModelFile | None) -> TagTask:
        """The tagger that the settings ask for."""
        from backtime.models.saving import begun_from
        from backtime.models.tagger import Tagger as Network
        from backtime.training.devices import on_device

        chosen = {name: getattr(settings, name) for name in (*NETWORK_FIELDS, "dropout")}
        sizes: dict[str, Any] = {name: len(data.lexicons[name]) for name in PARTS}
        network = begun_from(start, Network(TaggerConfig(**chosen, **sizes)))
        return TagTask(on_device(network, settings.device), data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """The network."""
        return {name: getattr(start.config, name) for name in NETWORK_FIELDS}

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """Accuracy, loss in nats a word, with entities their precision, recall and F1, and the sizes."""
        from backtime.models.saving import build_model

        sentences = list(read_tagged(source, Places(**model.encoding["columns"])))
        if not sentences:
            raise UsageError(f"{source} has no sentences; expected tagged words")
        return measure(build_model(model), sentences, read_lexicons(model.encoding), options.batch_size)

    def predictor(self, model: ModelFile) -> Tagger:
        """The runtime's tagger, without PyTorch."""
        return Tagger(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """The tag of the least sure word of each sentence."""
        from backtime.tasks.questions.words import tags

        return tags(model, source, count)


KIND = TagKind()


def measure(network: Network, sentences: list[Sentence], lexicons: Lexicons, batch_size: int) -> Scores:
    """The scores of a tagger on sentences."""
    from backtime.training.devices import measuring, tensors

    right, found, total = [], [], 0.0
    buckets = Buckets([len(sentence.words) for sentence in sentences], batch_size, shuffle=False)
    field = field_of(_arrays(network)) if network.config.crf else None
    with measuring(network):
        for step in range(len(buckets)):
            chosen = [sentences[n] for n in buckets.batch(0, step)]
            batch = batch_of(chosen, lexicons)
            own = [tag_numbers(sentence, lexicons) for sentence in chosen]
            (tags,) = tensors((pack(own).rows,), network)
            z = network.scores(batch)
            total += network.loss_of(z, tags, batch.batch_sizes).item() * len(tags)
            found += best_paths(z.numpy(force=True), batch.batch_sizes, field)
            right += own
    return _scores(right, found, lexicons["tags"], total)


def _scores(
    right: list[NDArray[np.int64]], found: list[NDArray[np.int64]], tags: Lexicon, total: float
) -> Scores:
    words = [np.concatenate(part) for part in (right, found)]
    result: Scores = {"accuracy": scores.accuracy(*words), "loss": total / len(words[0])}
    if has_entities(tags):
        named = [[[tags.symbols[tag] for tag in own] for own in part] for part in (right, found)]
        result |= scores.entity_scores(*named)
    return result | {"sentences": len(right), "words": len(words[0])}


def _arrays(network: Network) -> dict[str, NDArray[Any]]:
    return {name: value.numpy(force=True) for name, value in network.state_dict().items()}
