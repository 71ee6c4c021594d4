"""Similarity: how alike two texts are, by a network that reads both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtime.data.batching.buckets import Buckets
from backtime.data.lexicon import Lexicon, unread, with_unread
from backtime.data.pair_parts import read_all, read_parts
from backtime.data.scored_pairs import COLUMNS, PairReading, ScoredPair, reading_of, target_of
from backtime.data.similar import NumberedPairs, Related, Similar, count_symbols, ordered
from backtime.errors import UsageError
from backtime.fields import check, described
from backtime.models.file import ModelFile
from backtime.models.similarity_config import SimilarityConfig
from backtime.runtime.similarity import Similarity
from backtime.tasks import retrieval, scores
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.network import ENCODER_FIELDS, SequenceEncoderSettings
from backtime.training.metrics import Metric
from backtime.training.settings import DATA, LENGTH, NETWORK, STEPS
from backtime.training.task import Carried, Task

if TYPE_CHECKING:
    import torch

    from backtime.insight.decisions import Question
    from backtime.models.similarity import Similarity as Network

NETWORK_FIELDS = (*ENCODER_FIELDS, "embedding_size")
MEASURED_AT_ONCE = 64  # pairs
LOSS = Metric("loss", "a pair")
METRICS = {
    "pairs": (Metric("recall_1", better="max"), LOSS),
    "score": (Metric("spearman", better="max"), LOSS),
    "label": (Metric("accuracy", better="max"), LOSS),
    "auto": (LOSS,),
}

EXAMPLES = """\
examples:
  backtime train paraphrases.tsv --task similar --bidirectional
  backtime train questions.tsv --task similar --third-column label --level char
  backtime evaluate runs/paraphrases-lstm-1 test.tsv
  backtime predict runs/paraphrases-lstm-1 new.tsv
  backtime predict runs/paraphrases-lstm-1 sentences.txt --query 'Where is the station?' --top 10"""


@dataclass(frozen=True)
class SimilarSettings(SequenceEncoderSettings):
    """A run that learns how alike texts are."""

    third_column: str = described(
        "auto", "what the third column is; auto: labels where it has nothing but 0, 1, same and different",
        group=DATA, choices=COLUMNS,
    )  # fmt: skip
    validation_fraction: float = described(
        0.1, "share of the pairs, drawn by a hash, to validate on; none of their texts is trained on",
        group=DATA, least=0, below=1,
    )  # fmt: skip
    valid_file: str | None = described(None, "pairs to validate on, in place of a share of DATA", group=DATA)
    pooling: str = described(
        "mean",
        "what of all steps makes the vector",
        group=NETWORK,
        choices=SimilarityConfig.choices["pooling"],
    )
    temperature: float = described(
        0.05, "of the softmax over a batch's cosines; of labels, at the start", group=STEPS, above=0, below=1
    )
    batch_size: int = described(64, "pairs side by side", group=STEPS, least=1)
    epochs: int = described(15, "passes through the data", group=LENGTH, least=1)


@dataclass(frozen=True)
class Evaluation:
    """What to measure."""

    third_column: str = described(
        "auto", "what the third column is (default: as in training)", choices=COLUMNS, tell_default=False
    )
    batch_size: int = described(MEASURED_AT_ONCE, "pairs at once, which the loss is over", least=1)

    def __post_init__(self) -> None:
        """Check every value."""
        check(self)


class SimilarTask(Task):
    """A network and its pairs, in batches of pairs about as long as each other."""

    def __init__(self, network: Network, data: Similar, settings: SimilarSettings) -> None:
        """Lay the batches out."""
        self.network, self.data, self.settings = network, data, settings
        own = data.training
        sizes = np.array([len(record) for record in own.records])
        self.buckets = Buckets(
            np.maximum(sizes[own.first], sizes[own.second]), settings.batch_size, settings.seed
        )
        self.steps_per_epoch = len(self.buckets)
        self.metrics = METRICS[data.reading.target]
        self.related = Related(own.first, own.second, len(own.records))
        self.unread = unread(own.records, len(data.symbols), settings.word_dropout)

    @property
    def model(self) -> Network:
        """The network."""
        return self.network

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch of pairs. Both texts of all of them go through the layers in one call."""
        from backtime.training.devices import tensors

        own, chosen = self.data.training, self.buckets.batch(epoch, step)
        first, second = own.first[chosen], own.second[chosen]
        vectors = self._vectors(np.concatenate([first, second]))
        known = self.related(first, second) | (first[:, None] == second)
        values, related = tensors((own.values[chosen], known), self.network)
        u, v = vectors.chunk(2)
        return self.network.loss(u, v, values, related), None, len(chosen)

    def _vectors(self, texts: Any) -> torch.Tensor:
        """The vectors (n, P) of texts; in training mode some symbols are read as unknown."""
        records = [self.data.training.records[n] for n in texts]
        if self.network.training:  # a save measures the next step, and must not draw
            records = [with_unread(own, self.unread) for own in records]
        return vectors_of(self.network, records)

    def validate(self) -> dict[str, float]:
        """The metrics on the pairs that are held out."""
        if not len(self.data.held_out):
            return {}
        found = measure(self.network, self.data.held_out, self.data.reading.target, self.settings.batch_size)
        return {metric.name: float(found[metric.name]) for metric in self.metrics}

    def loss_limit(self, start: float) -> float:
        """Of pairs at least what they cost where all others are nearer by a cosine of 1: log N + 1 / tau.

        ``start`` says little of that: it may be the loss of one pair alone, which costs nothing.
        """
        limit = super().loss_limit(start)
        if self.data.reading.target != "pairs":
            return limit
        return max(limit, math.log(self.settings.batch_size) + 1 / self.settings.temperature)

    def save_model(self, path: Path) -> None:
        """Write the model file."""
        from backtime.models.saving import save_model

        save_model(path, self.network, KIND.name, self.data.encoding)


class SimilarKind(TaskKind):
    """Comparing texts."""

    name, settings, evaluation = "similar", SimilarSettings, Evaluation
    data = "TSV file with two texts in each line and, if they are more or less alike, a score or a label"
    examples = EXAMPLES

    def metrics(self, settings: SimilarSettings) -> tuple[Metric, ...]:
        """By the third column; where the file itself says what it is, the task knows more."""
        return METRICS["pairs" if settings.third_column == "ignore" else settings.third_column]

    def prepare(
        self,
        source: Path | None,
        settings: SimilarSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Similar:
        """All pairs, in memory."""
        scores.check_installed("scipy")
        source = self.required(source)
        pairs = read_all(source)
        if encoding is None:
            target = target_of(pairs, settings.third_column)
        else:
            target = PairReading.from_json(encoding["reading"]).target
        valid = Path(settings.valid_file) if settings.valid_file else None
        training, held_out = read_parts(pairs, valid, settings.validation_fraction, settings.seed)
        _check_enough(training, target, settings, source)
        if round(len(pairs) * settings.validation_fraction) and not held_out:
            tell("nothing is validated on: the pairs hang together by their texts; --valid-file names others")
        if encoding is None:
            reading = reading_of(training, settings.level, target)
            symbols = count_symbols(training, settings.level, settings.min_count)
        else:
            reading = PairReading.from_json(encoding["reading"])
            symbols = Lexicon.from_json(encoding["symbols"])
        own, others = (NumberedPairs.of(part, symbols, reading) for part in (training, held_out))
        return Similar(own, others, symbols, reading)

    def build(self, data: Similar, settings: SimilarSettings, start: ModelFile | None) -> SimilarTask:
        """The network that the settings ask for."""
        from backtime.models.saving import begun_from
        from backtime.models.similarity import Similarity as Network
        from backtime.training.devices import on_device

        chosen = {name: getattr(settings, name) for name in (*NETWORK_FIELDS, "dropout", "temperature")}
        sizes: dict[str, Any] = {"symbols": len(data.symbols), "target": data.reading.target}
        network = begun_from(start, Network(SimilarityConfig(**chosen, **sizes)))
        return SimilarTask(on_device(network, settings.device), data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and reading."""
        reading = PairReading.from_json(start.encoding["reading"])
        column = "ignore" if reading.target == "pairs" else reading.target
        fixed = {name: getattr(start.config, name) for name in NETWORK_FIELDS}
        return fixed | {"level": reading.level, "third_column": column}

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """Recall of pairs, Spearman's correlation of scores, accuracy of labels; the loss, and the sizes.

        The loss is told where the pairs are such as the model was trained on.
        """
        from backtime.models.saving import build_model

        symbols = Lexicon.from_json(model.encoding["symbols"])
        trained = PairReading.from_json(model.encoding["reading"])
        pairs, column = read_all(source), options.third_column
        if column == "auto":
            column = "ignore" if trained.target == "pairs" else trained.target
        target = target_of(pairs, column)
        if target == "label" != trained.target:
            raise UsageError(f"--third-column label: the model has learned from {trained.target}, not labels")
        reading = trained if target == trained.target else PairReading(trained.level, target)
        numbered = NumberedPairs.of(pairs, symbols, reading)
        found = measure(build_model(model), numbered, target, options.batch_size)
        if target != trained.target:
            del found["loss"]
        return found | {"pairs": len(numbered), "texts": len(numbered.records)}

    def predictor(self, model: ModelFile) -> Similarity:
        """The runtime's comparison of texts, without PyTorch."""
        return Similarity(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """The cosine of each pair."""
        from backtime.tasks.questions.pairs import cosines

        return cosines(model, source, count)


KIND = SimilarKind()


def vectors_of(network: Network, records: list[Any]) -> torch.Tensor:
    """The vectors (n, P) of encoded texts, in one call."""
    import torch

    from backtime.training.devices import tensors

    packed, places = ordered(records)
    rows, back = tensors((packed.rows, places), network)
    return network.vectors(rows, torch.from_numpy(packed.batch_sizes))[back]


def measure(network: Network, pairs: NumberedPairs, target: str, batch_size: int) -> Scores:
    """The scores of a network on pairs, and its mean loss, ``batch_size`` pairs side by side."""
    import torch

    from backtime.training.devices import measuring, tensors

    order = Buckets([len(own) for own in pairs.records], MEASURED_AT_ONCE, shuffle=False)
    related = Related(pairs.first, pairs.second, len(pairs.records))
    total = 0.0
    with measuring(network):
        chosen = [order.batch(0, k) for k in range(len(order))]
        parts = [vectors_of(network, [pairs.records[n] for n in own]) for own in chosen]
        vectors = torch.cat(parts)[torch.from_numpy(np.argsort(np.concatenate(chosen)))]
        for start in range(0, len(pairs), batch_size):
            first, second = (own[start : start + batch_size] for own in (pairs.first, pairs.second))
            known = related(first, second) | (first[:, None] == second)
            arrays = (first, second, pairs.values[start : start + batch_size], known)
            u, v, values, flags = tensors(arrays, network)
            total += network.loss(vectors[u], vectors[v], values, flags).item() * len(first)
        cosines = (vectors[pairs.first] * vectors[pairs.second]).sum(1)
        found = _scores(network, pairs, target, vectors, cosines, related)
    return {**found, "loss": total / len(pairs)}


def _scores(
    network: Network,
    pairs: NumberedPairs,
    target: str,
    vectors: torch.Tensor,
    cosines: torch.Tensor,
    related: Related,
) -> dict[str, float]:
    if target == "pairs":
        table = vectors.numpy(force=True)
        return retrieval.recall(retrieval.ranks(lambda some: table[some] @ table.T, related))
    if target == "score":
        return {"spearman": scores.spearman(pairs.values, cosines.numpy(force=True))}
    said = network.decision(cosines) > 0
    return {"accuracy": scores.accuracy(pairs.values > 0, said.numpy(force=True))}


def _check_enough(training: list[ScoredPair], target: str, settings: SimilarSettings, source: Path) -> None:
    if target != "pairs":
        return
    if settings.batch_size < 2:
        raise UsageError("--batch-size is 1; pairs without a score learn from the others of their batch")
    if len(training) < 2:
        raise UsageError(f"{source} has one pair to train on; expected two and more without a score or label")
