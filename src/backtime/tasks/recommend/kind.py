"""Recommending to the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtime.data.lexicon import Lexicon, opened
from backtime.data.sessions import Sessions, count_items, names_of, numbered, read_sessions
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.recommender_config import RecommenderConfig
from backtime.runtime.recommender import Recommender
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.recommend.measuring import measure
from backtime.tasks.recommend.settings import Evaluation, RecommendSettings
from backtime.tasks.recommend.task import RecommendTask
from backtime.tasks.shared.network_task import begun
from backtime.training.metrics import Metric

if TYPE_CHECKING:
    from backtime.insight.decisions import Question

EXAMPLES = """\
examples:
  backtime train clicks.csv --task recommend --cell gru
  backtime train clicks.csv --task recommend --session-column user --item-column product --negatives 500
  backtime evaluate runs/clicks-gru-1 later.csv
  backtime predict runs/clicks-gru-1 today.csv"""


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

        network = begun(
            Network(RecommenderConfig(**settings.network(), items=len(data.items))), start, settings
        )
        return RecommendTask(network, data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and columns."""
        names = names_of(start.encoding)
        fixed = self.settings.network_of(start)
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
