"""How good recommendations are: recall and mean reciprocal rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import Buckets, pack
from backtime.tasks.base import Scores

if TYPE_CHECKING:
    from backtime.models.recommender import Recommender as Network

MEASURED_AT_ONCE = 64  # sessions


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
            x, targets, sizes = packed_rows([sessions[n] for n in buckets.batch(0, k)])
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


def packed_rows(
    sessions: list[NDArray[np.int64]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Items, the items that follow them, and the batch sizes, in packed rows."""
    packed = pack([np.stack([own[:-1], own[1:]], 1) for own in sessions])
    rows = packed.rows.astype(np.int64)
    return np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1]), packed.batch_sizes
