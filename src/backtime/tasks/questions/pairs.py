"""Which symbols of two texts decided how alike they are."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backtime.data.batching.steps import symbols_of
from backtime.data.similar import encoded
from backtime.insight.decisions import Question
from backtime.insight.units.following import Passage
from backtime.models.file import ModelFile
from backtime.models.saving import build_model
from backtime.runtime.similarity import Similarity
from backtime.tasks.questions import known

SHOWN = 40  # characters of the other text


def cosines(model: ModelFile, source: Path, count: int) -> Iterator[Question]:
    """The cosine of each pair, once by the symbols of its first text and once by those of its second."""
    network, own = build_model(model).eval(), Similarity(model)
    for pair in islice(own.read(source), count):
        texts = (pair.first, pair.second)
        rows = [torch.from_numpy(encoded(text, own.symbols, own.reading.level, pair.place)) for text in texts]
        u, v = (_vector(network, read).detach() for read in rows)
        for text, other, read, vector in ((*texts, rows[0], v), (*texts[::-1], rows[1], u)):
            score = partial(_cosine, network, read, vector)
            answer = f"{float(score().detach()):+.2f} with {other[:SHOWN]}"
            symbols = symbols_of(text, own.reading.level)
            passage = Passage(network.rnn, symbols, known.of_symbols(symbols))
            yield Question([answer], [None], score, network.rnn, symbols, passage)


def _vector(network: Any, rows: Tensor) -> Tensor:
    found: Tensor = network.vectors(rows, torch.ones(len(rows), dtype=torch.long))[0]
    return found


def _cosine(network: Any, rows: Tensor, other: Tensor) -> Tensor:
    return (_vector(network, rows) @ other)[None]
