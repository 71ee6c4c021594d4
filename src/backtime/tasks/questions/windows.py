"""Which steps of the past decided a forecast."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backtime.data.timeseries.encoding import SeriesEncoding
from backtime.data.timeseries.reader import read_series
from backtime.data.timeseries.series import Series
from backtime.data.timeseries.table import read_table
from backtime.data.timeseries.times import text
from backtime.data.timeseries.windows import Windows, make_batch
from backtime.errors import UsageError
from backtime.insight.decisions import Question
from backtime.insight.units.following import Passage
from backtime.models.file import ModelFile
from backtime.models.saving import build_model
from backtime.tasks.questions import known


def forecasts(model: ModelFile, source: Path, count: int) -> Iterator[Question]:
    """The first and the last step of ``count`` forecasts, evenly spaced over the data, for every target.

    A score is the forecast in scaled units. A recursive model is asked for the first step alone: the ones
    after it stand on that.
    """
    network, coding = build_model(model).eval(), SeriesEncoding.from_json(model.encoding)
    series, _ = read_series(read_table(source), coding.columns, coding.step, coding.gaps)
    rows, frame = [coding.rows(one) for one in series], coding.frame
    windows = Windows(rows, [(0, len(own)) for own in rows], frame)
    if not len(windows):
        raise UsageError(
            f"{source} has no stretch of {frame.lookback + frame.horizon} rows; expected one, of --lookback "
            "and --horizon together"
        )
    for number in np.unique(np.linspace(0, len(windows) - 1, count).round().astype(np.int64)).tolist():
        which, at = windows.places[number].tolist()
        batch = make_batch(windows.rows(np.array([number])), frame)
        x, ahead, base = (torch.from_numpy(own) for own in (batch.x, batch.known, batch.base))
        yield _asked(network, coding, series[which], at, (x[: frame.lookback], ahead, base))


def _asked(
    network: Any, coding: SeriesEncoding, series: Series, at: int, arrays: tuple[Tensor, ...]
) -> Question:
    scores, T = partial(_scores, network, *arrays), coding.frame.lookback
    ahead = _steps(network)
    scaled = scores().detach().double().numpy().reshape(len(ahead), -1)
    values = coding.scaling.restore(series.name, scaled)
    answers = [
        f"{target} at {text(int(series.times[at + T + k]), coding.columns.format)}: {value:.4g}"
        for k, own in zip(ahead, values, strict=True)
        for target, value in zip(coding.columns.targets, own, strict=True)
    ]
    steps = [str(lag) for lag in range(-T, 0)]
    calendar = [f"calendar {n}" for n in range(1, arrays[0].shape[2] - len(coding.columns.numbers) + 1)]
    reads = known.of_numbers(arrays[0][:, 0].numpy(), [*coding.columns.numbers, *calendar])
    passage = Passage(network.rnn, steps, reads)
    return Question(answers, [None] * len(answers), scores, network.rnn, steps, passage)


def _steps(network: Any) -> list[int]:
    """Which steps of the horizon are asked for, from 0."""
    direct = network.config.strategy == "direct"
    return sorted({0, network.config.horizon - 1}) if direct else [0]


def _scores(network: Any, x: Tensor, ahead: Tensor, base: Tensor) -> Tensor:
    """The forecasts of the steps that are asked for, one target after the other."""
    point = network.config.point
    if network.config.strategy == "recursive":
        found = network.every_step(x, ahead)[-1:] + base[:1, ..., None]
    else:
        found = (network(x, ahead) + base[..., None])[_steps(network)]
    scores: Tensor = found[:, 0, :, point].flatten()
    return scores
