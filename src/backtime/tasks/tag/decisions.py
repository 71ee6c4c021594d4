"""Which words of a sentence decided for a tag."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from backtime.data.columns import Places, read_tagged
from backtime.data.tagged import batch_of, read_lexicons
from backtime.models.file import ModelFile

if TYPE_CHECKING:
    import torch

    from backtime.data.batching.words import WordBatch
    from backtime.insight.decisions import Decision
    from backtime.models.tagger import Tagger as Network


def decided(model: ModelFile, source: Path, count: int) -> list[Decision]:
    """For the tag of the least sure word of each of the first ``count`` sentences, each word by itself."""
    from backtime.insight.decisions import Decision, contributions
    from backtime.models.saving import build_model

    network, lexicons = build_model(model).eval(), read_lexicons(model.encoding)
    found = []
    for sentence in islice(read_tagged(source, Places(**model.encoding["columns"])), count):
        batch = batch_of([sentence], lexicons)
        shares = network.scores(batch).detach().softmax(1)
        word = int(shares.amax(1).argmin())
        tag = int(shares[word].argmax())
        added = contributions(network.rnn, partial(_score, network, batch, word, tag))
        answer = f"{sentence.words[word]} is {lexicons['tags'].symbols[tag]}"
        found.append(Decision(answer, float(shares[word, tag]), list(sentence.words), *added))
    return found


def _score(network: Network, batch: WordBatch, word: int, tag: int) -> torch.Tensor:
    return network.scores(batch)[word, tag]
