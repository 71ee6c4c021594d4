"""A trained encoder-decoder on NumPy and the engine alone: it writes symbol by symbol, by beam search."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.data.lexicon import Lexicon
from backtime.data.pairs import Pair, joined, read_sources, split_text
from backtime.errors import UsageError
from backtime.models.encoder_decoder_config import EncoderDecoderConfig
from backtime.models.file import ModelFile
from backtime.reference.weights import Array
from backtime.runtime.predictor import Row
from backtime.runtime.stacks import Stack, stack_of

BEAM, LONGEST = 5, 3  # a translation may have so many times the symbols of its source, and ten


class Written(NamedTuple):
    """A translation: its symbols, the mean log-probability of a symbol, and the attention (T, S), or None."""

    symbols: list[str]
    score: float
    attention: Array | None


class Translator:
    """Translates texts."""

    def __init__(self, file: ModelFile, backend: str = "auto") -> None:
        """Prepare the weights for stepping."""
        if not isinstance(file.config, EncoderDecoderConfig):
            raise UsageError(f"a model for the task {file.task!r}; expected one that translates")
        self.config, self.tensors = file.config, file.tensors
        self.sources, self.targets = (
            Lexicon.from_json(file.encoding[name]) for name in ("sources", "targets")
        )
        self.level = str(file.encoding["level"]["level"])
        self.encoder, self.decoder = (self._stack(name, table, backend) for name, table in SIDES)

    def read(self, source: Path | None) -> Iterator[Pair]:
        """Lines of text; what follows a tab is left out."""
        return read_sources(source)

    def predict(self, records: Iterable[Pair | str], beam: int = BEAM) -> Iterator[Row]:
        """The translation of each text, and the mean log-probability of its symbols, in nats."""
        for record in records:
            text = record if isinstance(record, str) else record.source
            found = self.translate(text, beam)
            yield {
                "source": text,
                "translation": joined(found.symbols, self.level),
                "score": round(found.score, 4),
            }

    def translate(self, text: str, beam: int = BEAM) -> Written:
        """The best of ``beam`` texts that are written side by side, by the mean log-probability of a symbol.

        Each step keeps the ``beam`` likeliest beginnings; one that ends is set aside, and the
        search goes on until none that is left promises more. Raises ``UsageError``
        for an empty text.
        """
        numbers = self.sources.numbers(split_text(text, self.level))
        if not numbers:
            raise UsageError(f"the text {text!r} has no words; expected a text to translate")
        read, state = self._read(numbers)
        return _search(self, read, state, beam, LONGEST * len(numbers) + 10)

    def draw(self, records: Iterable[Pair | str]) -> Any:
        """A figure of matplotlib: for each of the first texts what its translation looked at."""
        from backtime.runtime.attention_picture import MOST, draw_attention

        if not self.config.attention:
            raise UsageError("--picture: the model has no attention; expected one trained with --attention")
        first = islice(records, MOST)
        texts = [record if isinstance(record, str) else record.source for record in first]
        found = [(split_text(text, self.level), self.translate(text)) for text in texts]
        return draw_attention([(source, own.symbols, own.attention) for source, own in found])

    def step(self, symbols: Any, state: list[Array], read: Array) -> tuple[Array, Array | None]:
        """Log-probabilities (K, V + 1) after one step of K texts, whose state advances, and the attention."""
        h = self.decoder.step(np.asarray(symbols), state)
        seen = None
        if self.config.attention:
            scores = h @ self.tensors["score.weight"] @ read.T
            seen = np.exp(scores - scores.max(1, keepdims=True))
            seen /= seen.sum(1, keepdims=True)
            both = np.concatenate([seen @ read, h], 1)
            h = np.tanh(both @ self.tensors["combine.weight"].T + self.tensors["combine.bias"])
        z = (h @ self.tensors["head.weight"].T + self.tensors["head.bias"]).astype(np.float64)
        z -= z.max(1, keepdims=True)
        found: Array = z - np.log(np.exp(z).sum(1, keepdims=True))
        return found, seen

    def _read(self, numbers: list[int]) -> tuple[Array, list[Array]]:
        """The encoder's outputs (S, H), and its last state."""
        state = self.encoder.zero_state(1)
        return np.stack([self.encoder.step(np.array([n]), state)[0].copy() for n in numbers]), state

    def _stack(self, name: str, table: str, backend: str) -> Stack:
        own = self.tensors[f"{table}.weight"]
        return stack_of(self.config, self.tensors, name, head=False, embedding=own, backend=backend)


SIDES = (("encoder", "source"), ("decoder", "target"))


class _Beginning(NamedTuple):
    numbers: list[int]
    total: float
    seen: list[Array]


def _largest(values: Array, count: int) -> NDArray[np.int64]:
    """The places of the ``count`` largest, the largest first; of equal ones the first place."""
    places = np.argpartition(-values, count)[:count] if count < values.size else np.arange(values.size)
    found: NDArray[np.int64] = places[np.lexsort((places, -values[places]))]
    return found


def _mean(one: _Beginning) -> float:
    return one.total / len(one.numbers)


def _search(own: Translator, read: Array, state: list[Array], beam: int, longest: int) -> Written:
    """Beam search; the end is the symbol after all others, an unknown word is never written."""
    end, live, done = own.config.end, [_Beginning([], 0.0, [])], []
    for _ in range(longest):
        last = [one.numbers[-1] if one.numbers else end for one in live]
        logs, seen = own.step(last, state, read)
        if own.targets.open:
            logs[:, 0] = -np.inf
        totals = np.array([one.total for one in live])[:, None] + logs
        best = _largest(totals.ravel(), 2 * beam)
        grown: list[_Beginning] = []
        parents: list[int] = []
        for place in best.tolist():
            row, symbol = divmod(place, logs.shape[1])
            looked = [] if seen is None else [*live[row].seen, seen[row]]
            one = _Beginning([*live[row].numbers, symbol], float(totals[row, symbol]), looked)
            if symbol == end:
                done.append(one)
            elif len(grown) < beam:
                grown.append(one)
                parents.append(row)
        if not grown or (len(done) >= beam and max(map(_mean, done)) >= max(map(_mean, grown))):
            break
        live, state = grown, [np.ascontiguousarray(part[parents]) for part in state]
    finished = max(done or live, key=_mean)
    numbers = finished.numbers[:-1] if finished.numbers[-1] == end else finished.numbers
    attention = np.array(finished.seen)[: len(numbers)] if finished.seen else None
    symbols = [own.targets.symbols[n] for n in numbers]
    return Written(symbols, _mean(finished), attention)
