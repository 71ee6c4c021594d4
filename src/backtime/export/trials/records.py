"""The sequences of real data: each network's records, read and numbered as for the model in use."""

from collections.abc import Callable, Iterable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from backtime.data.columns import Places, read_tagged
from backtime.data.pairs import read_sources, split_text
from backtime.data.similar import encoded
from backtime.data.timeseries.reader import read_series
from backtime.data.timeseries.table import read_table
from backtime.data.timeseries.windows import Windows, make_batch
from backtime.errors import UsageError
from backtime.export.trials import Sequence, Trial
from backtime.export.trials.text import pieces_of_text
from backtime.models.file import ModelFile
from backtime.runtime.captioner import Captioner
from backtime.runtime.example_reader import ExampleReader
from backtime.runtime.forecaster import Forecaster
from backtime.runtime.piano import Piano
from backtime.runtime.recommender import Recommender
from backtime.runtime.similarity import Similarity
from backtime.runtime.tagger import Tagger
from backtime.runtime.transcriber import Transcriber
from backtime.runtime.translator import Translator

SIZES = (1, 3, 8)  # of the batches
LONGEST, WRITTEN = 1000, 30  # steps of a sequence, symbols of a text that is written
Sequences = Iterable[Sequence]


def recorded(model: ModelFile, source: Path) -> Trial:
    """The first sequences of data such as the model was trained on, in batches of several sizes.

    Raises ``UsageError`` where they cannot be read, or are not of the model's task.
    """
    every = iter(RECORDS[model.config.network](model, source))
    own = [_cut(one, LONGEST) for one in islice(every, sum(SIZES))]
    if not own:
        raise UsageError(f"{source} has no records in it; expected data such as the model was trained on")
    if model.config.network != "captioner":
        own = _uneven(own)
    steps = sorted(_length(one) for one in own)
    rest = cycle(own)
    batches = [list(islice(rest, size)) for size in SIZES]
    sizes = f"{len(own)} sequence{'s' * (len(own) > 1)} of {source}, of {steps[0]} to {steps[-1]} steps"
    return Trial(f"on {sizes}, in batches of {', '.join(map(str, SIZES[:-1]))} and {SIZES[-1]}", batches)


def _length(one: Sequence) -> int:
    return len(one[0]) if isinstance(one, tuple) else len(one)


def _cut(one: Sequence, steps: int) -> Sequence:
    """Its first steps."""
    return (one[0][:steps], one[1]) if isinstance(one, tuple) else one[:steps]


def _uneven(own: list[Sequence]) -> list[Sequence]:
    """The sequences; where all are as long as each other, every second one to its middle."""
    if len({_length(one) for one in own}) > 1:
        return own
    return [_cut(one, (_length(one) + 1) // 2) if n % 2 else one for n, one in enumerate(own)]


def _text(model: ModelFile, source: Path) -> Sequences:
    return pieces_of_text(model.encoding["vocabulary"], source)


def _items(model: ModelFile, source: Path) -> Sequences:
    own = Recommender(model)
    return (np.array(own.items.numbers(one.items), np.int64) for one in own.read(source))


def _pieces(model: ModelFile, source: Path) -> Sequences:
    return (one.frames for one in Piano(model).read(source))


def _sound(model: ModelFile, source: Path) -> Sequences:
    own = Transcriber(model)
    return (own.scaled(one.features) for one in own.read(source))


def _examples(model: ModelFile, source: Path) -> Sequences:
    own = ExampleReader(model)
    return (own.encoder.batch([own.encoder.encode(one)]).rows for one in own.read(source))


def _texts(model: ModelFile, source: Path) -> Sequences:
    """The first text of each line."""
    own, level = Similarity(model), model.encoding["reading"]["level"]
    return (encoded(one.source, own.symbols, level, one.place) for one in read_sources(source, "to compare"))


def _windows(model: ModelFile, source: Path) -> Sequences:
    """Windows from everywhere in the series."""
    encoding = Forecaster(model).encoding
    frame, table = encoding.frame, read_table(source)
    every, _ = read_series(table, encoding.columns, encoding.step, encoding.gaps, ahead=True)
    rows = [encoding.rows(own)[: own.observed] for own in every]
    windows = Windows(rows, [(0, len(own)) for own in rows], frame)
    if not len(windows):
        least = frame.lookback + frame.horizon
        raise UsageError(f"{source} has no series of {least} rows and more; expected so many, as in training")
    chosen = np.unique(np.linspace(0, len(windows) - 1, sum(SIZES)).astype(np.int64))
    batch = make_batch(windows.rows(chosen), frame)
    x = batch.x[: frame.lookback]
    return ((x[:, b], batch.known[:, b]) for b in range(len(chosen)))


def _sentences(model: ModelFile, source: Path) -> Sequences:
    own = Tagger(model)
    for one in read_tagged(source, Places(**model.encoding["columns"])):
        numbers = own.words.numbers(word.lower() for word in one.words)
        letters = (tuple(own.characters.numbers(word)) for word in one.words)
        yield list(zip(numbers, letters, strict=True))


def _pairs(model: ModelFile, source: Path) -> Sequences:
    """Texts, and what the model itself writes of them."""
    own = Translator(model)
    for one in read_sources(source):
        numbers = np.array(own.sources.numbers(split_text(one.source, own.level)), np.int64)[:LONGEST]
        yield numbers, _numbers(own, own.translate(one.source, beam=1).symbols)


def _images(model: ModelFile, source: Path) -> Sequences:
    own = Captioner(model)
    for one in own.read(source):
        yield own.scaled(own.frame.checked(one)), _numbers(own, own.caption(one, beam=1).symbols)


def _numbers(own: Translator | Captioner, symbols: list[str]) -> Any:
    return np.array(own.targets.numbers(symbols[:WRITTEN]), np.int64)


RECORDS: dict[str, Callable[[ModelFile, Path], Sequences]] = {
    "aligned": _text,
    "recommender": _items,
    "piano": _pieces,
    "transcriber": _sound,
    "reader": _examples,
    "regressor": _examples,
    "similarity": _texts,
    "forecaster": _windows,
    "tagger": _sentences,
    "encoder-decoder": _pairs,
    "captioner": _images,
}
