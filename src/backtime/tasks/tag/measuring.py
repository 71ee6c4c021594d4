"""How good a tagger is: share of tags, and entities found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import Buckets, pack
from backtime.data.columns import Sentence
from backtime.data.lexicon import Lexicon
from backtime.data.tagged import Lexicons, batch_of, has_entities, tag_numbers
from backtime.runtime.viterbi import best_paths, field_of
from backtime.tasks.base import Scores
from backtime.tasks.shared import scores

if TYPE_CHECKING:
    from backtime.models.tagger import Tagger as Network


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
