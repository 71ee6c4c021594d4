"""How well a network tells what is alike: recall of pairs, correlation of scores, accuracy of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtime.data.batching.buckets import Buckets
from backtime.data.similar import NumberedPairs, Related, ordered
from backtime.tasks.base import Scores
from backtime.tasks.shared import scores
from backtime.tasks.similar import retrieval
from backtime.tasks.similar.settings import MEASURED_AT_ONCE
from backtime.training.metrics import Metric

if TYPE_CHECKING:
    import torch

    from backtime.models.similarity import Similarity as Network

LOSS = Metric("loss", "a pair", counted="pairs")

METRICS = {
    "pairs": (Metric("recall_1", better="max"), LOSS),
    "score": (Metric("spearman", better="max"), LOSS),
    "label": (Metric("accuracy", better="max"), LOSS),
    "auto": (LOSS,),
}


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
