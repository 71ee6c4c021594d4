"""Which steps of a text, series, image or clip decided for its label or its number."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backtime.data.batching.steps import Encoder, Scale
from backtime.data.classes import read_all
from backtime.data.examples import Example
from backtime.data.labelled import Reading
from backtime.data.lexicon import Lexicon
from backtime.insight.decisions import Question, log_odds
from backtime.insight.units.following import Passage
from backtime.models.file import ModelFile
from backtime.models.saving import build_model
from backtime.tasks.questions import known


def labels(model: ModelFile, source: Path, count: int) -> Iterator[Question]:
    """The likeliest label of each example."""
    symbols = Lexicon.from_json(model.encoding["labels"]).symbols
    for scores, passage, network in _each(model, source, count):
        shares = scores().detach().softmax(0)
        best = int(shares.argmax())
        ask = partial(_one, scores, best)
        yield Question([symbols[best]], [float(shares[best])], ask, network.rnn, passage.steps, passage)


def numbers(model: ModelFile, source: Path, count: int) -> Iterator[Question]:
    """The number of each example; the score is that number, in its own unit."""
    scale = Scale.from_json(model.encoding["target"])
    mean, deviation = float(scale.mean[0]), float(scale.deviation[0])
    for scores, passage, network in _each(model, source, count):
        own = partial(_in_unit, scores, mean, deviation)
        answer = f"{float(own().detach()):.4g}"
        yield Question([answer], [None], own, network.rnn, passage.steps, passage)


def _each(model: ModelFile, source: Path, count: int) -> Iterator[tuple[Any, Passage, Any]]:
    """Of each example what gives its scores (K,), its steps, and the network."""
    network, encoder = build_model(model).eval(), Encoder.from_json(model.encoding)
    for example in islice(read_all(source, Reading.from_json(model.encoding["reading"])), count):
        rows, sizes = map(torch.from_numpy, encoder.batch([encoder.encode(example)]))
        passage = Passage(network.rnn, encoder.names(example), _known(encoder, example, rows))
        yield partial(_scores, network, rows, sizes), passage, network


def _known(encoder: Encoder, example: Example, rows: Tensor) -> dict[str, Any]:
    if encoder.symbols is not None:
        return known.of_symbols(encoder.names(example))
    return known.of_numbers(rows.numpy())


def _scores(network: Any, rows: Tensor, sizes: Tensor) -> Tensor:
    found: Tensor = network.scores(rows, sizes)[0]
    return found


def _one(scores: Any, number: int) -> Tensor:
    return log_odds(scores()[None], torch.tensor([number]))


def _in_unit(scores: Any, mean: float, deviation: float) -> Tensor:
    found: Tensor = scores() * deviation + mean
    return found
