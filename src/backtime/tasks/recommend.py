"""Recommendation: the next item of a session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import Buckets, pack
from backtime.data.lexicon import Lexicon, opened
from backtime.data.sessions import Names, Sessions, count_items, names_of, numbered, read_sessions
from backtime.errors import UsageError
from backtime.fields import check, described
from backtime.models.file import ModelFile
from backtime.models.recommender_config import RecommenderConfig
from backtime.runtime.recommender import TOP, Recommender
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.network import LAYERS, RecurrentSettings, output_layers
from backtime.training.metrics import Metric
from backtime.training.settings import DATA, LENGTH, NETWORK, STEPS
from backtime.training.task import Carried, Task

if TYPE_CHECKING:
    import torch

    from backtime.insight.decisions import Question
    from backtime.models.recommender import Recommender as Network

Numbers = NDArray[np.int64]
NETWORK_FIELDS = (*LAYERS, "output_layers", "embedding_size")
MEASURED_AT_ONCE = 64  # sessions
FLATTER = 0.75  # negatives are drawn by the count of an item to this power

EXAMPLES = """\
examples:
  backtime train clicks.csv --task recommend --cell gru
  backtime train clicks.csv --task recommend --session-column user --item-column product --negatives 500
  backtime evaluate runs/clicks-gru-1 later.csv
  backtime predict runs/clicks-gru-1 today.csv"""


@dataclass(frozen=True)
class RecommendSettings(RecurrentSettings):
    """A run that learns to recommend."""

    session_column: str = described("session", "name of the column of sessions", group=DATA)
    item_column: str = described("item", "name of the column of items", group=DATA)
    time_column: str = described("time", "name of the column of times", group=DATA)
    validation_fraction: float = described(
        0.1, "share of the sessions, those that begin last, to validate on", group=DATA, least=0, below=1
    )
    min_count: int = described(1, "how often an item comes at least to be known", group=DATA, least=1)
    longest: int = described(200, "steps; a longer session is cut, in training", group=DATA, least=1)
    cell: str = described("gru", "kind of recurrent layer", group=NETWORK, choices=("rnn", "gru", "lstm"))
    hidden_size: int = described(100, "units a layer", group=NETWORK, least=1)
    layers: int = described(1, "recurrent layers, one above the other", group=NETWORK, least=1)
    output_layers: int = output_layers()
    embedding_size: int = described(100, "length of an item's vector", group=NETWORK, least=1)
    dropout: float = described(
        0.2, "share of units dropped: vectors, layers, output", group=NETWORK, least=0, below=1
    )
    negatives: int = described(
        0, "items beside the right one that the loss is over, drawn by popularity; 0: all items", group=STEPS,
        least=0,
    )  # fmt: skip
    epochs: int = described(10, "passes through the data", group=LENGTH, least=1)

    @property
    def names(self) -> Names:
        """The columns."""
        return Names(self.session_column, self.item_column, self.time_column)


@dataclass(frozen=True)
class Evaluation:
    """How many items are recommended."""

    top: int = described(TOP, "items that are recommended", least=1)

    def __post_init__(self) -> None:
        """Check every value."""
        check(self)


class RecommendTask(Task):
    """A recommender and its sessions, in batches of sessions about as long as each other."""

    metrics = (Metric("recall", better="max"), Metric("mrr", better="max"), Metric("loss", "nats a step"))

    def __init__(self, network: Network, data: Sessions, settings: RecommendSettings) -> None:
        """Lay the batches out; negatives are drawn by how often items come in training."""
        self.network, self.data, self.settings = network, data, settings
        self.buckets = Buckets([len(own) - 1 for own in data.training], settings.batch_size, settings.seed)
        self.steps_per_epoch = len(self.buckets)
        self.counts = np.bincount(np.concatenate(data.training), minlength=len(data.items))

    @property
    def model(self) -> Network:
        """The recommender."""
        return self.network

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a batch of sessions, nats a step; in eval mode over all items."""
        import torch

        from backtime.training.devices import tensors

        chosen = [self.data.training[n] for n in self.buckets.batch(epoch, step)]
        x, targets, sizes = _packed(chosen)
        rows, wanted, counts = tensors((x, targets, self.counts.astype(np.float32)), self.network)
        batch_sizes = torch.from_numpy(sizes)
        if not (self.settings.negatives and self.network.training):
            return self.network.loss(rows, batch_sizes, wanted), None, len(rows)
        shares = (counts.clamp(min=1) ** FLATTER) / (counts.clamp(min=1) ** FLATTER).sum()
        loss = self.network.sampled_loss(rows, batch_sizes, wanted, shares, self.settings.negatives)
        return loss, None, len(rows)

    def validate(self) -> dict[str, float]:
        """Recall and mean reciprocal rank among twenty, and the loss, on the sessions that are held out."""
        if not self.data.held_out:
            return {}
        found = measure(self.network, self.data.held_out, TOP)
        return {metric.name: float(found[metric.name]) for metric in self.metrics}

    def save_model(self, path: Path) -> None:
        """Write the model file."""
        from backtime.models.saving import save_model

        save_model(path, self.network, KIND.name, self.data.encoding)


class RecommendKind(TaskKind):
    """Recommending items."""

    name, settings, evaluation = "recommend", RecommendSettings, Evaluation
    data = "CSV or TSV file with a session, an item and a time in each row"
    examples = EXAMPLES

    def metrics(self, settings: RecommendSettings) -> tuple[Metric, ...]:
        """Recall decides."""
        return RecommendTask.metrics

    def prepare(
        self,
        source: Path | None,
        settings: RecommendSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Sessions:
        """All sessions, in memory."""
        sessions = read_sessions(source, settings.names)
        border = len(sessions) - round(len(sessions) * settings.validation_fraction)
        if encoding is None:
            items = opened("item", count_items(sessions[:border]), settings.min_count)
        else:
            items = Lexicon.from_json(encoding.get("items"))
        if len(items) < 3:
            raise UsageError(f"{source} has {len(items) - 1} item to train on; expected two and more")
        training = numbered(sessions[:border], items, settings.longest)
        held_out = numbered(sessions[border:], items, settings.longest)
        if not training:
            raise UsageError(f"{source} has no session of two items to train on; expected one at least")
        return Sessions(training, held_out, items, settings.names)

    def build(self, data: Sessions, settings: RecommendSettings, start: ModelFile | None) -> RecommendTask:
        """The recommender that the settings ask for."""
        from backtime.models.recommender import Recommender as Network
        from backtime.models.saving import begun_from
        from backtime.training.devices import on_device

        chosen = {name: getattr(settings, name) for name in (*NETWORK_FIELDS, "dropout")}
        network = begun_from(start, Network(RecommenderConfig(**chosen, items=len(data.items))))
        return RecommendTask(on_device(network, settings.device), data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and columns."""
        names = names_of(start.encoding)
        fixed = {name: getattr(start.config, name) for name in NETWORK_FIELDS}
        return fixed | {f"{name}_column": value for name, value in names.__dict__.items()}

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """Recall and MRR of the model and of always recommending what is popular in the same data; the loss.

        A step whose right item was not in training counts, and is never right.
        """
        from backtime.models.saving import build_model

        items = Lexicon.from_json(model.encoding["items"])
        sessions = numbered(read_sessions(source, names_of(model.encoding)), items, 10**9)
        if not sessions:
            raise UsageError(f"{source} has no session of two items; expected one at least")
        found = measure(build_model(model), sessions, options.top)
        targets = np.concatenate([own[1:] for own in sessions])
        popular = (
            np.argsort(-np.bincount(targets, minlength=len(items))[1:], kind="stable")[: options.top] + 1
        )
        found["recall_of_popular"] = float(np.isin(targets, popular).mean())
        return found | {"sessions": len(sessions), "steps": len(targets)}

    def predictor(self, model: ModelFile) -> Recommender:
        """The runtime's recommender, without PyTorch."""
        return Recommender(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """The next item of each session."""
        from backtime.tasks.questions.sessions import next_items

        return next_items(model, source, count)


KIND = RecommendKind()


def measure(network: Network, sessions: list[NDArray[np.int64]], top: int) -> Scores:
    """Recall and mean reciprocal rank among ``top`` recommended items, and the loss in nats a step.

    The rank of the right item is one more than the number of items with a higher score; an unknown item is
    neither recommended nor ever right.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from backtime.training.devices import measuring, tensors

    buckets = Buckets([len(own) - 1 for own in sessions], MEASURED_AT_ONCE, shuffle=False)
    hits = reciprocal = total = 0.0
    steps = 0
    with measuring(network):
        for k in range(len(buckets)):
            x, targets, sizes = _packed([sessions[n] for n in buckets.batch(0, k)])
            rows, wanted = tensors((x, targets), network)
            z = network.head.logits(network(rows, torch.from_numpy(sizes)))
            total += cross_entropy(z, wanted, reduction="sum").item()
            z[:, 0] = -torch.inf
            rank = 1 + (z > z.gather(1, wanted[:, None])).sum(1)
            right = ((rank <= top) & (wanted > 0)).double()
            hits += right.sum().item()
            reciprocal += (right / rank).sum().item()
            steps += len(wanted)
    return {"recall": hits / steps, "mrr": reciprocal / steps, "loss": total / steps}


def _packed(
    sessions: list[NDArray[np.int64]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Items, the items that follow them, and the batch sizes, in packed rows."""
    packed = pack([np.stack([own[:-1], own[1:]], 1) for own in sessions])
    rows = packed.rows.astype(np.int64)
    return np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1]), packed.batch_sizes
