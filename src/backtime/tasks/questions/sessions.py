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
from backtime.insight.decisions import Question
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
        ask = partial(_score, network, torch.tensor(numbers))
        scores = ask(slice(None)).detach()
        scores[0] = -torch.inf
        best, steps = int(scores.argmax()), np.arange(float(len(read)))
        reads = {"the rank of the item by popularity": np.array(numbers, np.float64), STEP: steps}
        yield Question(
            [items.symbols[best]],
            [float(scores.softmax(0)[best])],
            partial(ask, slice(best, best + 1)),
            network.rnn,
            list(read),
            Passage(network.rnn, list(read), reads),
        )


def _score(network: Any, rows: Tensor, which: slice) -> Tensor:
    z: Tensor = network.head.logits(network(rows, torch.ones(len(rows), dtype=torch.long)))
    return z[-1, which]
