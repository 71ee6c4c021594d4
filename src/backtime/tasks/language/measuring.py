"""How good a language model is: bits a symbol, perplexity."""

from __future__ import annotations

import math
from pathlib import Path

from backtime.data.text.parts import (
    check_predictable,
    count_characters,
    count_words,
    unknown_share,
    warn_of_unknown,
)
from backtime.data.text.tokens import prepare_corpus
from backtime.data.text.vocabulary import Vocabulary
from backtime.models.file import ModelFile
from backtime.tasks.base import Scores
from backtime.tasks.language.settings import Evaluation, LanguageSettings
from backtime.training.metrics import Measure, Metric

LN_2, MOST = math.log(2), 700.0  # exp(710) is infinity's neighbour


def perplexity(loss: float) -> float:
    """The exponential of a loss in nats."""
    return math.exp(min(loss, MOST))


MEASURES = {
    "char": Measure("bits/char", lambda loss: loss / LN_2),
    "byte": Measure("bits/byte", lambda loss: loss / LN_2),
    "word": Measure("perplexity", perplexity),
    "subword": Measure("perplexity", perplexity),
}


def metrics_of(settings: LanguageSettings) -> tuple[Metric, ...]:
    """The loss alone; people read it in bits, or as perplexity."""
    return (Metric("loss", "nats a token", measure=MEASURES[settings.level]),)


def measure(model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
    """The scores of a model on a text: see ``LanguageKind.evaluate``."""
    from backtime.models.saving import build_model
    from backtime.training.text_loss import text_loss

    vocabulary = Vocabulary.from_json(model.encoding["vocabulary"])
    tokens, _ = prepare_corpus(source, folder, vocabulary=vocabulary)
    check_predictable(tokens, source)
    loss = text_loss(build_model(model), tokens, options.batch_size, options.seq_length)
    count, level, bits = len(tokens), vocabulary.level, loss / LN_2
    characters = count if level == "char" else count_characters(source, level)
    scores: Scores = {"loss": loss, "perplexity": perplexity(loss)}
    if level != "char":
        scores[f"bits_per_{level}"] = bits
    sizes: Scores = {"tokens": count, "characters": characters}
    if level == "subword":
        words = count_words(source, level)
        scores["perplexity_per_word"], sizes["words"] = perplexity(loss * count / words), words
    if level == "word":
        sizes["unknown"] = unknown_share(tokens, vocabulary)
        warn_of_unknown(sizes["unknown"], str(source), vocabulary)
    return scores | {"bits_per_character": bits * count / characters, **sizes}
