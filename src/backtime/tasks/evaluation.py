"""How well a language model predicts a text."""

import math
import tempfile
from pathlib import Path

from backtime.data.corpus import find_corpus
from backtime.data.readers import read_text
from backtime.data.tokens import prepare_corpus
from backtime.errors import UsageError
from backtime.models.files import load_model
from backtime.tasks.language import text_loss
from backtime.training.threads import use_threads

Scores = dict[str, float | int]


def evaluate(
    model_path: Path, text: Path, batch_size: int, seq_length: int, threads: int | None = None
) -> Scores:
    """Scores of the model on the text, every token but the first counted once.

    - ``loss``: nats a token; ``perplexity``: its exponential
    - ``bits_per_character``; at byte and word level also ``bits_per_byte`` or ``bits_per_word``, a
    token's share.
      The first is the second times tokens and divided by characters of the text.
    - ``tokens`` and ``characters`` of the text

    ``batch_size`` streams are read side by side, each from a zero state; 1 reads the text as one.
    """
    for name, value in (("batch-size", batch_size), ("seq-length", seq_length), ("threads", threads)):
        if value is not None and value < 1:
            raise UsageError(f"--{name} is {value}; expected 1 or more")
    use_threads(threads)
    model, vocabulary = load_model(model_path)
    with tempfile.TemporaryDirectory(prefix="backtime-") as folder:
        tokens, _ = prepare_corpus(text, folder, vocabulary=vocabulary)
        if len(tokens) < 2:
            raise UsageError(f"{text} has {len(tokens)} token; expected at least 2: one to predict another")
        loss, count = text_loss(model, tokens, batch_size, seq_length), len(tokens)
    characters = count if vocabulary.level == "char" else _characters(text, vocabulary.level)
    scores: Scores = {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
    bits = loss / math.log(2)
    if vocabulary.level != "char":
        scores[f"bits_per_{vocabulary.level}"] = bits
    return scores | {
        "bits_per_character": bits * count / characters,
        "tokens": count,
        "characters": characters,
    }


def _characters(text: Path, level: str) -> int:
    return sum(map(len, read_text(find_corpus(text, level))))
