"""How the records of each network become its sequences: read and numbered as for the model in use."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from backtime.data.captions import Captioned
from backtime.data.columns import Places, Sentence, read_tagged
from backtime.data.pairs import Pair, read_sources, split_text
from backtime.data.similar import encoded
from backtime.data.timeseries.reader import read_series
from backtime.data.timeseries.table import read_table
from backtime.data.timeseries.windows import Windows, make_batch
from backtime.errors import UsageError
from backtime.export.trials import Sequence
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

WINDOWS = 12  # of series, from everywhere in them
LONGEST, WRITTEN = 1000, 30  # steps of a text to translate, symbols of a text that is written
Numbering = tuple[Iterable[Any], Callable[[Any], Sequence]]  # the records, and how one becomes numbers


def _text(model: ModelFile, source: Path) -> Numbering:
    return pieces_of_text(model.encoding["vocabulary"], source), _as_it_is


def _items(model: ModelFile, source: Path) -> Numbering:
    own = Recommender(model)
    return own.read(source), lambda one: np.array(own.items.numbers(one.items), np.int64)


def _pieces(model: ModelFile, source: Path) -> Numbering:
    return Piano(model).read(source), lambda one: one.frames


def _sound(model: ModelFile, source: Path) -> Numbering:
    own = Transcriber(model)
    return own.read(source), lambda one: own.scaled(one.features)


def _examples(model: ModelFile, source: Path) -> Numbering:
    own = ExampleReader(model)
    return own.read(source), lambda one: own.encoder.batch([own.encoder.encode(one)]).rows


def _texts(model: ModelFile, source: Path) -> Numbering:
    """The first text of each line."""
    own, level = Similarity(model), model.encoding["reading"]["level"]
    lines = read_sources(source, "to compare")
    return lines, lambda one: encoded(one.source, own.symbols, level, one.place)


def _windows(model: ModelFile, source: Path) -> Numbering:
    """Windows from everywhere in the series."""
    encoding = Forecaster(model).encoding
    frame, table = encoding.frame, read_table(source)
    every, _ = read_series(table, encoding.columns, encoding.step, encoding.gaps, ahead=True)
    rows = [encoding.rows(own)[: own.observed] for own in every]
    windows = Windows(rows, [(0, len(own)) for own in rows], frame)
    if not len(windows):
        least = frame.lookback + frame.horizon
        raise UsageError(f"{source} has no series of {least} rows and more; expected so many, as in training")
    chosen = np.unique(np.linspace(0, len(windows) - 1, WINDOWS).astype(np.int64))
    batch = make_batch(windows.rows(chosen), frame)
    x = batch.x[: frame.lookback]
    return ((x[:, b], batch.known[:, b]) for b in range(len(chosen))), _as_it_is


def _sentences(model: ModelFile, source: Path) -> Numbering:
    own = Tagger(model)

    def number(one: Sentence) -> Sequence:
        numbers = own.words.numbers(word.lower() for word in one.words)
        letters = (tuple(own.characters.numbers(word)) for word in one.words)
        return list(zip(numbers, letters, strict=True))

    return read_tagged(source, Places(**model.encoding["columns"])), number


def _pairs(model: ModelFile, source: Path) -> Numbering:
    """Texts, and what the model itself writes of them."""
    own = Translator(model)

    def number(one: Pair) -> Sequence:
        numbers = np.array(own.sources.numbers(split_text(one.source, own.level)), np.int64)
        return numbers[:LONGEST], _written(own, own.translate(one.source, beam=1).symbols)

    return read_sources(source), number


def _images(model: ModelFile, source: Path) -> Numbering:
    own = Captioner(model)

    def number(one: Captioned) -> Sequence:
        return own.scaled(own.frame.checked(one)), _written(own, own.caption(one, beam=1).symbols)

    return own.read(source), number


def _written(own: Translator | Captioner, symbols: list[str]) -> Any:
    return np.array(own.targets.numbers(symbols[:WRITTEN]), np.int64)


def _as_it_is(one: Sequence) -> Sequence:
    return one


NUMBERINGS: dict[str, Callable[[ModelFile, Path], Numbering]] = {
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
