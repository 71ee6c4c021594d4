"""Which words of a sentence decided for the tag of its least sure word."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backtime.data.batching.words import WordBatch
from backtime.data.columns import Places, read_tagged
from backtime.data.tagged import batch_of, read_lexicons
from backtime.insight.decisions import Question, log_odds
from backtime.insight.units.following import Passage
from backtime.models.file import ModelFile
from backtime.models.saving import build_model
from backtime.tasks.questions import known


def tags(model: ModelFile, source: Path, count: int) -> Iterator[Question]:
    """The tag of the least sure word of each sentence, each word by itself."""
    network, lexicons = build_model(model).eval(), read_lexicons(model.encoding)
    for sentence in islice(read_tagged(source, Places(**model.encoding["columns"])), count):
        batch = batch_of([sentence], lexicons)
        shares = network.scores(batch).detach().softmax(1)
        word = int(shares.amax(1).argmin())
        tag = int(shares[word].argmax())
        words = list(sentence.words)
        yield Question(
            [f"{words[word]} is {lexicons['tags'].symbols[tag]}"],
            [float(shares[word, tag])],
            partial(_score, network, batch, word, tag),
            network.rnn,
            words,
            Passage(network.rnn, words, known.of_symbols(words)),
        )


def _score(network: Any, batch: WordBatch, word: int, tag: int) -> Tensor:
    return log_odds(network.scores(batch)[word : word + 1], torch.tensor([tag]))
