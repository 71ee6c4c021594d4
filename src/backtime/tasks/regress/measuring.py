"""How good a regressor is: the errors in the numbers' own unit."""

from typing import Any

import numpy as np

from backtime.data.batching.steps import Encoder, Scale
from backtime.data.classes import Examples
from backtime.tasks.shared import scores
from backtime.tasks.shared.examples import answers


def measure(
    network: Any, examples: Examples, encoder: Encoder, scale: Scale, batch_size: int
) -> dict[str, float]:
    """The errors of a network on examples, and its loss."""
    found = np.empty(len(examples.labels), np.float64)
    for chosen, z, _ in answers(network, examples, encoder, batch_size):
        found[chosen] = z[:, 0].numpy(force=True)
    loss = float(((found - examples.labels) ** 2).mean())
    own, right = (part * scale.deviation + scale.mean for part in (found, examples.labels.astype(np.float64)))
    return {**scores.number_scores(right, own), "loss": loss}
