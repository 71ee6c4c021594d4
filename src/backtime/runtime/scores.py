"""How likely a text is to a model that reads it symbol by symbol."""

import math
from collections.abc import Callable

import numpy as np

from backtime.data.text.symbols import UnknownSymbolError
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError
from backtime.reference.weights import Array
from backtime.runtime.predictor import Row


class LineScore:
    """Scores of one line of text that is read symbol by symbol: ``symbols`` in, logits back to ``take``.

    The model first reads a newline, so that the first symbol has a probability too; without a newline in the
    vocabulary that symbol is not scored. ``row`` has

    - ``unknown``: how many words the vocabulary lacks (a character that it lacks is an error)
    - ``tokens``: how many symbols were scored; ``loss``: their mean -log p in nats; ``perplexity``: exp of it
    - ``bits_per_character``: the sum of -log2 p divided by the characters of the line
    - ``next`` and ``next_probability``: the likeliest symbol after the line

    None where there is nothing to say.
    """

    def __init__(self, vocabulary: Vocabulary, text: str) -> None:
        """``symbols`` are what the model is to read, from a state of zeros."""
        self.vocabulary, self.text = vocabulary, text
        own: list[int] = vocabulary.encode(text).tolist()
        self.unknown = 0 if vocabulary.unknown is None else own.count(vocabulary.unknown)
        start = newline(vocabulary)
        self.symbols = own if start is None else [start, *own]
        self._read, self._total = 0, 0.0
        self._log_p: Array | None = None

    def take(self, logits: Array) -> None:
        """The logits (V,) after the next of ``symbols``."""
        self._log_p = _log_softmax(logits)
        self._read += 1
        if self._read < len(self.symbols):
            self._total -= float(self._log_p[self.symbols[self._read]])

    def row(self) -> Row:
        """The scores, when all symbols are read."""
        count, log_p = max(0, len(self.symbols) - 1), self._log_p
        best = None if log_p is None else int(log_p.argmax())
        loss = self._total / count if count else None
        return {
            "text": self.text,
            "tokens": count,
            "unknown": self.unknown,
            "loss": loss,
            "perplexity": None if loss is None else math.exp(min(loss, 700.0)),
            "bits_per_character": self._total / math.log(2) / len(self.text) if count else None,
            "next": None if best is None else self.vocabulary.shown(best),
            "next_probability": None if log_p is None or best is None else math.exp(log_p[best]),
        }


def score_line(step: Callable[[int], Array], vocabulary: Vocabulary, text: str) -> Row:
    """The scores of a line; ``step`` reads a symbol from a zero state on and returns the logits (V,)."""
    score = LineScore(vocabulary, text)
    for symbol in score.symbols:
        score.take(step(symbol))
    return score.row()


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
