"""Which moments of a recording decided for each character that was heard."""

from collections.abc import Iterator
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backtime.data.audio import HOP
from backtime.insight.decisions import Question, log_odds
from backtime.insight.measures import Floats
from backtime.insight.units.following import Passage
from backtime.models.file import ModelFile
from backtime.models.saving import build_model
from backtime.runtime.transcriber import Transcriber
from backtime.tasks.questions.known import STEP


def characters(model: ModelFile, source: Path, count: int) -> Iterator[Question]:
    """Each character of the likeliest path, at the step where it is surest; a step is named by its second.

    The path is the likeliest of blank and characters at each step, not the search that ``predict`` does.
    """
    network, own = build_model(model).eval(), Transcriber(model)
    for spoken in islice(own.read(source), count):
        rows = ((spoken.features - own.scale.mean) / own.scale.deviation).astype(np.float32)
        x, lengths = torch.from_numpy(rows)[:, None], torch.tensor([len(rows)])
        shares = network(x, lengths).detach()[:, 0].softmax(1)
        found = _peaks(shares)
        seconds = [f"{step * own.hearing.stack * HOP:.2f}" for step in range(len(rows))]
        places = torch.tensor(found, dtype=torch.long).reshape(-1, 2).T
        yield Question(
            [f"{own.characters.symbols[number - 1]} at {seconds[step]} s" for step, number in found],
            [float(shares[step, number]) for step, number in found],
            partial(_scores, network, x, lengths, places),
            network.rnn,
            seconds,
            Passage(network.rnn, seconds, _known(spoken.features.astype(np.float64))),
        )


def _scores(network: Any, x: Tensor, lengths: Tensor, places: Tensor) -> Tensor:
    z: Tensor = network(x, lengths)[:, 0]
    return log_odds(z[places[0]], places[1])


def _peaks(shares: Tensor) -> list[tuple[int, int]]:
    """Step and number of each character: of steps in a row with the same one, the surest."""
    best = shares.argmax(1).tolist()
    runs = [(number, list(own)) for number, own in groupby(range(len(best)), best.__getitem__)]
    return [(max(own, key=lambda t, n=n: float(shares[t, n])), n) for n, own in runs if n]  # type: ignore[misc]


def _known(features: Floats) -> dict[str, Floats]:
    """Of log-mel features (T, I)."""
    loudness = features.mean(1)
    rise = np.diff(loudness, prepend=loudness[:1])
    return {"loudness": loudness, "the rise of loudness": rise, STEP: np.arange(float(len(loudness)))}
