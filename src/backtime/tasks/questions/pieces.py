"""Which frames of a piece decided for the key that is likeliest to sound after it."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backtime.data.pianoroll import note_name
from backtime.insight.decisions import Question
from backtime.insight.measures import Floats
from backtime.insight.units.following import Passage
from backtime.models.file import ModelFile
from backtime.models.saving import build_model
from backtime.runtime.piano import Piano
from backtime.tasks.questions.known import STEP

MOST = 128  # frames at the end of a piece that are looked at


def next_keys(model: ModelFile, source: Path, count: int) -> Iterator[Question]:
    """The likeliest key after the last frames of each piece."""
    network = build_model(model).eval()
    for piece in islice(Piano(model).read(source), count):
        read = piece.frames[-MOST:]
        frames = np.concatenate([np.zeros_like(read[:1]), read])  # silence first, as in training
        ask = partial(_score, network, torch.from_numpy(frames))
        scores = ask(slice(None)).detach()
        best = int(scores.argmax())
        steps = ["-".join(map(note_name, np.flatnonzero(own).tolist())) or "rest" for own in frames]
        yield Question(
            [f"{note_name(best)} after {piece.name}"],
            [float(scores[best].sigmoid())],
            partial(ask, slice(best, best + 1)),
            network.rnn,
            steps,
            Passage(network.rnn, steps, _known(frames)),
        )


def _score(network: Any, frames: Tensor, which: slice) -> Tensor:
    z: Tensor = network(frames, torch.ones(len(frames), dtype=torch.long))
    return z[-1, which]


def _known(frames: Any) -> dict[str, Floats]:
    """Of frames (T, K); a frame without a key counts as its neighbour's lowest would: 0."""
    keys = np.arange(float(frames.shape[1]))
    sounding = frames > 0
    return {
        "how many keys sound": sounding.sum(1).astype(np.float64),
        "the highest key": np.where(sounding, keys, 0).max(1),
        "the lowest key": np.where(sounding.any(1), np.where(sounding, keys, np.inf).min(1), 0),
        STEP: np.arange(float(len(frames))),
    }
