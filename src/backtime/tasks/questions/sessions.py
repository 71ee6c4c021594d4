"""Which items of a session decided for the one that is recommended after it."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backtime.data.lexicon import Lexicon
from backtime.data.sessions import names_of, read_sessions
from backtime.insight.decisions import Question, log_odds
from backtime.insight.units.following import Passage
from backtime.models.file import ModelFile
from backtime.models.saving import build_model
from backtime.tasks.questions.known import STEP

MOST = 200  # items at the end of a session that are looked at


def next_items(model: ModelFile, source: Path, count: int) -> Iterator[Question]:
    """The likeliest next item of each session; the unknown one is never recommended."""
    network, items = build_model(model).eval(), Lexicon.from_json(model.encoding["items"])
    for session in islice(read_sessions(source, names_of(model.encoding)), count):
        read = session.items[-MOST:]
        numbers = items.numbers(read)
        rows = torch.tensor(numbers)
        scores = _scores(network, rows).detach()[0]
        best, steps = int(scores.argmax()), np.arange(float(len(read)))
        reads = {"the rank of the item by popularity": np.array(numbers, np.float64), STEP: steps}
        yield Question(
            [items.symbols[best]],
            [float(scores.softmax(0)[best])],
            partial(_score, network, rows, best),
            network.rnn,
            list(read),
            Passage(network.rnn, list(read), reads),
        )


def _score(network: Any, rows: Tensor, item: int) -> Tensor:
    return log_odds(_scores(network, rows), torch.tensor([item]))


def _scores(network: Any, rows: Tensor) -> Tensor:
    """Of all items after the last one, (1, V); the unknown one has no share."""
    z: Tensor = network.head.logits(network(rows, torch.ones(len(rows), dtype=torch.long))[-1:])
    return z.index_fill(1, torch.tensor([0]), -torch.inf)
