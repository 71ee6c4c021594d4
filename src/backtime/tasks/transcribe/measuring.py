"""How much of what was said is found: the character error rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtime.data.batching.buckets import Buckets
from backtime.data.lexicon import Lexicon
from backtime.runtime.transcriber import best_text
from backtime.tasks.shared import scores
from backtime.tasks.transcribe.data import Spoken

if TYPE_CHECKING:
    import torch

    from backtime.models.transcriber import Transcriber as Network

MEASURED_AT_ONCE = 32  # utterances


def batch_of(spoken: list[Spoken], network: Network) -> tuple[torch.Tensor, ...]:
    """Features (T, B, I) padded, their lengths, all texts in a row, and their lengths."""
    import torch

    lengths = [len(features) for features, _ in spoken]
    x = np.zeros((max(lengths), len(spoken), spoken[0][0].shape[1]), np.float32)
    for n, (features, _) in enumerate(spoken):
        x[: lengths[n], n] = features
    texts, sizes = np.concatenate([text for _, text in spoken]), [len(text) for _, text in spoken]
    device = network.head.weight.device
    rows = (x, np.array(lengths), texts, np.array(sizes))
    return tuple(torch.from_numpy(own).to(device) for own in rows)


def measure(network: Network, spoken: list[Spoken], characters: Lexicon) -> dict[str, float]:
    """The share of wrong characters, of the likeliest character at each step, and the loss."""
    import torch

    from backtime.training.devices import measuring

    buckets = Buckets([len(features) for features, _ in spoken], MEASURED_AT_ONCE, shuffle=False)
    right, found, total = [], [], 0.0
    with measuring(network):
        for k in range(len(buckets)):
            chosen = [spoken[n] for n in buckets.batch(0, k)]
            batch = batch_of(chosen, network)
            total += network.loss(*batch).item() * len(chosen)
            logs = torch.log_softmax(network(*batch[:2]), 2).numpy(force=True)
            for n, (features, text) in enumerate(chosen):
                right.append(_text(text, characters))
                best, _ = best_text(logs[: len(features), n], 1)
                found.append(_text(best, characters))
    return {"cer": scores.transcript_scores(right, found)["cer"], "loss": total / len(spoken)}


def _text(numbers: Any, characters: Lexicon) -> str:
    return "".join(characters.symbols[n - 1] for n in numbers)
