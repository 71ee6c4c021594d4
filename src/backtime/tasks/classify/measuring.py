"""How good a classifier is: accuracy, macro F1, mean loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.steps import Encoder
from backtime.data.classes import Examples
from backtime.tasks.base import Scores
from backtime.tasks.shared import scores
from backtime.tasks.shared.examples import answers

if TYPE_CHECKING:
    from backtime.models.reader import Reader as Network


def predicted(
    network: Network, examples: Examples, encoder: Encoder, batch_size: int
) -> tuple[NDArray[np.int64], float]:
    """The likeliest label of each example, and the mean loss in nats."""
    from torch.nn.functional import cross_entropy

    found, total = np.empty(len(examples.labels), np.int64), 0.0
    for chosen, z, labels in answers(network, examples, encoder, batch_size):
        total += cross_entropy(z, labels, reduction="sum").item()
        found[chosen] = z.argmax(1).numpy(force=True)
    return found, total / len(found)


def scores_of(right: NDArray[np.int64], found: NDArray[np.int64], loss: float) -> Scores:
    """The scores of labels that were found."""
    return {"accuracy": scores.accuracy(right, found), "f1": scores.macro_f1(right, found), "loss": loss}
