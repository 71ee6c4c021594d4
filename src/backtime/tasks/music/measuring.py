"""How likely pieces are to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtime.data.batching.buckets import Buckets, pack
from backtime.data.pianoroll import Roll
from backtime.tasks.music.data import Example, cut

if TYPE_CHECKING:
    import torch

    from backtime.models.piano import Piano as Network

MEASURED = 64  # pieces at once in a validation


def frame_losses(model: Network, examples: list[Example]) -> tuple[torch.Tensor, int]:
    """The loss (R,) of each frame, and how many of the rows, the first ones, are a first frame."""
    import torch

    from backtime.training.devices import tensors

    packed = pack([np.stack(example, 1) for example in examples])
    rows = np.ascontiguousarray(packed.rows.swapaxes(0, 1), np.float32)
    x, targets = tensors((rows[0], rows[1]), model)
    sizes = torch.from_numpy(packed.batch_sizes)
    return model.losses(x, sizes, targets), int(packed.batch_sizes[0])


def measure(model: Network, pieces: list[Roll]) -> tuple[float, float, int, int]:
    """The loss summed over all frames, and over those after the first; the number of each."""
    from backtime.training.devices import measuring

    buckets = Buckets([len(piece.frames) for piece in pieces], MEASURED, shuffle=False)
    total = later = 0.0
    frames = sum(len(piece.frames) for piece in pieces)
    with measuring(model):
        for k in range(len(buckets)):
            chosen = [pieces[n] for n in buckets.batch(0, k)]
            losses, first = frame_losses(model, [cut(one, len(one.frames))[0] for one in chosen])
            total += losses.double().sum().item()
            later += losses[first:].double().sum().item()
    return total, later, frames, frames - len(pieces)
