"""Random sequences of every network: their shapes are all that is like the data."""

from collections.abc import Callable
from typing import Any

import numpy as np

from backtime.export.trials import Sequence, Trial
from backtime.models.file import ModelFile

SHAPES = ((1, 1), (7, 3), (20, 4))  # T, B
Random = np.random.Generator


def drawn(model: ModelFile) -> Trial:
    """Batches of several sizes; of each the last sequence is as long as it may be."""
    random = np.random.default_rng(0)
    one = DRAWN[model.config.network]
    batches = [[one(model.config, n, random) for n in _lengths(T, B, random)] for T, B in SHAPES]
    return Trial("on random inputs", batches)


def _lengths(T: int, B: int, random: Random) -> list[int]:
    return [*random.integers(1, T + 1, B - 1).tolist(), T]


def _steps(field: str) -> Callable[[Any, int, Random], Sequence]:
    """Numbers (T, I), of which the configuration's ``field`` says how many a step has."""
    return lambda config, T, random: _normal(random, T, getattr(config, field))


def _symbols(field: str) -> Callable[[Any, int, Random], Sequence]:
    """Symbols (T,), of which the configuration's ``field`` says how many there are."""
    return lambda config, T, random: random.integers(0, getattr(config, field), T)


def _either(config: Any, T: int, random: Random) -> Sequence:
    return (_symbols("symbols") if config.symbols else _steps("channels"))(config, T, random)


def _series(config: Any, T: int, random: Random) -> Sequence:
    return _normal(random, T, config.inputs), _normal(random, config.horizon, config.known)


def _words(config: Any, T: int, random: Random) -> Sequence:
    """Words with one to six letters."""
    sizes = random.integers(1, 7, T)
    return [
        (int(random.integers(0, config.words)), tuple(random.integers(0, config.characters, n).tolist()))
        for n in sizes
    ]


def _pair(config: Any, T: int, random: Random) -> Sequence:
    return random.integers(0, config.sources, T), _written(config, T, random)


def _picture(config: Any, T: int, random: Random) -> Sequence:
    return _normal(random, config.rows, config.columns, config.channels), _written(config, T, random)


def _written(config: Any, T: int, random: Random) -> Any:
    return random.integers(0, config.targets, T)


def _normal(random: Random, *shape: int) -> Any:
    return random.standard_normal(shape).astype(np.float32)


DRAWN: dict[str, Callable[[Any, int, Random], Sequence]] = {
    "aligned": _symbols("vocabulary_size"),
    "recommender": _symbols("items"),
    "piano": _steps("keys"),
    "transcriber": _steps("channels"),
    "reader": _either,
    "regressor": _either,
    "similarity": _either,
    "forecaster": _series,
    "tagger": _words,
    "encoder-decoder": _pair,
    "captioner": _picture,
}
