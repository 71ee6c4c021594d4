"""Which steps of an example decided for its label."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backtime.data.batching.steps import Encoder
from backtime.data.classes import read_all
from backtime.data.labelled import Reading
from backtime.data.lexicon import Lexicon
from backtime.models.file import ModelFile

if TYPE_CHECKING:
    import torch

    from backtime.insight.decisions import Decision
    from backtime.models.reader import Reader as Network


def decided(model: ModelFile, source: Path, count: int) -> list[Decision]:
    """For the label that was found, of each of the first ``count`` examples."""
    import torch

    from backtime.insight.decisions import Decision, contributions
    from backtime.models.saving import build_model

    network, encoder = build_model(model).eval(), Encoder.from_json(model.encoding)
    labels = Lexicon.from_json(model.encoding["labels"]).symbols
    found = []
    for example in read_all(source, Reading.from_json(model.encoding["reading"]))[:count]:
        rows, sizes = map(torch.from_numpy, encoder.batch([encoder.encode(example)]))
        scores = network.scores(rows, sizes).detach()[0]
        best = int(scores.argmax())
        added = contributions(network.rnn, partial(_score, network, rows, sizes, best))
        steps = encoder.names(example)
        found.append(Decision(labels[best], float(scores.softmax(0)[best]), steps, *added))
    return found


def _score(network: Network, rows: torch.Tensor, sizes: torch.Tensor, label: int) -> torch.Tensor:
    return network.scores(rows, sizes)[0, label]
