"""How likely a text is to a model that reads it symbol by symbol."""

import math
from collections.abc import Callable

import numpy as np

from backtime.data.text.symbols import UnknownSymbolError
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError
from backtime.reference.weights import Array
from backtime.runtime.predictor import Row


def score_line(step: Callable[[int], Array], vocabulary: Vocabulary, text: str) -> Row:
    """Scores of one line of text, read from its start, and the symbol that the model expects after it.

    ``step`` reads a symbol from a zero state on and returns the logits (V,) of the next. The model first
    reads a newline, so that the first symbol has a probability too; without a newline in the vocabulary that
    symbol is not scored.

    - ``unknown``: how many words the vocabulary lacks (a character that it lacks is an error)
    - ``tokens``: how many symbols were scored; ``loss``: their mean -log p in nats; ``perplexity``: exp of it
    - ``bits_per_character``: the sum of -log2 p divided by the characters of the line
    - ``next`` and ``next_probability``: the likeliest symbol after the line

    None where there is nothing to say.
    """
    start, total, count = newline(vocabulary), 0.0, 0
    log_p = None if start is None else _log_softmax(step(start))
    symbols = vocabulary.encode(text).tolist()
    unknown = 0 if vocabulary.unknown is None else symbols.count(vocabulary.unknown)
    for symbol in symbols:
        if log_p is not None:
            total, count = total - float(log_p[symbol]), count + 1
        log_p = _log_softmax(step(symbol))
    best = None if log_p is None else int(log_p.argmax())
    loss = total / count if count else None
    return {
        "text": text,
        "tokens": count,
        "unknown": unknown,
        "loss": loss,
        "perplexity": None if loss is None else math.exp(min(loss, 700.0)),
        "bits_per_character": total / math.log(2) / len(text) if count else None,
        "next": None if best is None else vocabulary.shown(best),
        "next_probability": None if log_p is None or best is None else math.exp(log_p[best]),
    }


def newline(vocabulary: Vocabulary) -> int | None:
    """The number of the newline; None where the vocabulary has none."""
    try:
        return int(vocabulary.encode("\n")[0])
    except UnknownSymbolError:
        return None


def _log_softmax(logits: Array) -> Array:
    z = logits.astype(np.float64)
    z -= z.max()
    z -= math.log(np.exp(z).sum())
    if not np.isfinite(z).all():
        raise UsageError("the model's outputs are not finite numbers; its training has diverged")
    return z
