"""Small models with random weights, of every network, for the tests of the export."""

from dataclasses import replace
from typing import Any

import numpy as np

from backtime.data.labelled import Reading
from backtime.data.lexicon import Lexicon
from backtime.data.text.vocabulary import Vocabulary
from backtime.models.captioner_config import CaptionerConfig
from backtime.models.config import LanguageConfig
from backtime.models.encoder_decoder_config import EncoderDecoderConfig
from backtime.models.file import ModelFile
from backtime.models.forecast_config import ForecastConfig
from backtime.models.piano_config import PianoConfig
from backtime.models.reader_config import ReaderConfig
from backtime.models.recommender_config import RecommenderConfig
from backtime.models.regressor_config import RegressorConfig
from backtime.models.similarity_config import SimilarityConfig
from backtime.models.tagger_config import TaggerConfig
from backtime.models.transcriber_config import TranscriberConfig

V, H, LAYERS = 11, 6, 2
CELLS: list[dict[str, Any]] = [
    {"cell": "lstm"},
    {"cell": "gru"},
    {"cell": "gru", "reset_after": False},
    {"cell": "rnn"},
    {"cell": "rnn", "activation": "relu"},
    {"cell": "rnn", "activation": "sigmoid"},
]
SMALL: dict[str, Any] = {"hidden_size": H, "layers": LAYERS}


def model_of(config: Any, task: str = "language", seed: int = 0) -> ModelFile:
    """Random weights, larger than trained ones often are."""
    random = np.random.default_rng(seed)
    tensors = {
        name: random.uniform(-0.6, 0.6, shape).astype(np.float32) for name, shape in config.shapes().items()
    }
    return ModelFile(task, config, encoding_of(task, config), tensors)


def encoding_of(task: str, config: Any) -> dict[str, Any]:
    """As much of it as is read here."""
    if task in ("encoder-decoder", "captioner"):
        return writing(config)
    if task == "language":
        return {"vocabulary": Vocabulary("char", list("abcdefghijk")).to_json()}
    if task not in ("reader", "regressor"):
        return {}
    common = {"labels": Lexicon("label", list("wxyz")).to_json(), "reading": Reading().to_json()}
    if config.symbols:
        return common | {"symbols": Lexicon("symbol", list("abcdefg")).to_json()}
    return common | {"scale": {"mean": [0.0] * config.channels, "deviation": [1.0] * config.channels}}


def writing(config: Any) -> dict[str, Any]:
    """Of a writer: its symbols, and what its images are."""
    found = {"targets": letters(config.targets), "level": {"level": "char"}}
    if isinstance(config, EncoderDecoderConfig):
        return found | {"sources": letters(config.sources)}
    frame = {"rows": config.rows, "columns": config.columns, "channels": config.channels, "longest": 5}
    return found | {"frame": frame, "scale": {"mean": [1.0, 2.0], "deviation": [3.0, 2.0]}}


def letters(count: int) -> dict[str, Any]:
    return Lexicon("symbol", ["<unk>", *"abcdefghijkl"[: count - 1]], True).to_json()


ALIGNED = [
    {"vocabulary_size": V},
    {"vocabulary_size": V, "embedding_size": 4},
    {"vocabulary_size": V, "embedding_size": H, "tie_weights": True},
]


def language(cell: dict[str, Any], way_in: dict[str, Any]) -> ModelFile:
    return model_of(LanguageConfig(**cell, **SMALL, **way_in))


WRITTEN: dict[str, Any] = {"targets": 4, "embedding_size": 3, "attention": True}
PICTURE: dict[str, Any] = {"rows": 9, "columns": 8, "channels": 2, "filters": 3, "blocks": 2}
OTHERS: dict[str, Any] = {
    "recommender": RecommenderConfig(cell="gru", **SMALL, items=8, embedding_size=3),
    "piano": PianoConfig(cell="gru", **SMALL, keys=9),
    "reader of symbols": ReaderConfig(cell="lstm", **SMALL, symbols=7, embedding_size=3, classes=4),
    "reader both ways": ReaderConfig(cell="gru", **SMALL, channels=3, classes=4, bidirectional=True),
    "regressor": RegressorConfig(cell="lstm", **SMALL, channels=3),
    "regressor attention": RegressorConfig(
        cell="gru", **SMALL, symbols=7, embedding_size=3, pooling="attention"
    ),
    "reader mean": ReaderConfig(cell="rnn", **SMALL, channels=3, classes=4, pooling="mean"),
    "reader max": ReaderConfig(cell="lstm", **SMALL, channels=3, classes=4, pooling="max"),
    "reader attention": ReaderConfig(
        cell="lstm", **SMALL, channels=3, classes=4, pooling="attention", bidirectional=True
    ),
    "forecaster": ForecastConfig(
        cell="lstm", **SMALL, targets=2, past=1, known=0, horizon=3, strategy="direct", quantiles=(0.1, 0.5)
    ),
    "forecaster with known columns": ForecastConfig(
        cell="gru", **SMALL, targets=1, past=0, known=2, horizon=3, strategy="direct"
    ),
    "recursive forecaster": ForecastConfig(
        cell="lstm", **SMALL, targets=1, past=0, known=1, horizon=3, strategy="recursive"
    ),
    "similarity": SimilarityConfig(cell="gru", **SMALL, symbols=7, embedding_size=3, target="label"),
    "encoder-decoder": EncoderDecoderConfig(cell="lstm", **SMALL, **WRITTEN, sources=5),
    "captioner": CaptionerConfig(cell="gru", **SMALL, **WRITTEN, **PICTURE),
    "transcriber": TranscriberConfig(cell="gru", **SMALL, channels=5, characters=4),
    "tagger": TaggerConfig(
        cell="lstm", **SMALL, words=8, characters=6, tags=4, word_size=5, character_size=3, spelling_size=4
    ),
}

OTHERS["tagger with a field"] = replace(OTHERS["tagger"], crf=True)


def other(name: str) -> ModelFile:
    return model_of(OTHERS[name], OTHERS[name].network)
