"""The decoder of a trained network on NumPy and the engine alone: it writes by beam search."""

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.data.lexicon import Lexicon
from backtime.models.file import ModelFile
from backtime.models.writer_config import WriterConfig
from backtime.reference.weights import Array
from backtime.runtime.groups import Grouped
from backtime.runtime.layers import log_softmax
from backtime.runtime.stacks import Stack, stack_of

BEAM = 5  # texts side by side


class Written(NamedTuple):
    """A text: its symbols, the mean log-probability of a symbol, and the attention (T, S), or None."""

    symbols: list[str]
    score: float
    attention: Array | None


class Asked(NamedTuple):
    """What a search asks the decoder for: a step of its K texts, whose last symbols these are."""

    symbols: NDArray[np.int64]  # (K,)
    state: list[Array]  # each (K, H)


class Stepped(NamedTuple):
    """The outputs after that step, and the state."""

    h: Array  # (K, H)
    state: list[Array]


Search = Generator[Asked, Stepped, Written]


class BeamWriter(Grouped):
    """Writes symbol by symbol, from a state and, with attention, from places (S, H) that it looks at."""

    config: WriterConfig

    def __init__(self, config: WriterConfig, file: ModelFile, backend: str) -> None:
        """Prepare the weights for stepping."""
        self.config, self.tensors = config, file.tensors
        self.targets = Lexicon.from_json(file.encoding["targets"])
        self.level = str(file.encoding["level"]["level"])
        self.decoder = self.stack("decoder", "target", backend)

    def stack(self, name: str, table: str, backend: str) -> Stack:
        """The layers ``name`` for steps of the vectors in ``table``."""
        own = self.tensors[f"{table}.weight"]
        return stack_of(self.config, self.tensors, name, head=False, embedding=own, backend=backend)

    def step(self, symbols: Any, state: list[Array], read: Array) -> tuple[Array, Array | None]:
        """Log-probabilities (K, V + 1) after one step of K texts, whose state advances, and the attention."""
        z, seen = self.scores(symbols, state, read)
        return log_softmax(z), seen

    def scores(self, symbols: Any, state: list[Array], read: Array) -> tuple[Array, Array | None]:
        """The same as scores, of which the softmax is still to be taken."""
        return self._scores(self.decoder.step(np.asarray(symbols), state), read)

    def _scores(self, h: Array, read: Array) -> tuple[Array, Array | None]:
        seen = None
        if self.config.attention:
            scores = h @ self.tensors["score.weight"] @ read.T
            seen = np.exp(scores - scores.max(1, keepdims=True))
            seen /= seen.sum(1, keepdims=True)
            both = np.concatenate([seen @ read, h], 1)
            h = np.tanh(both @ self.tensors["combine.weight"].T + self.tensors["combine.bias"])
        return h @ self.tensors["head.weight"].T + self.tensors["head.bias"], seen

    def search(self, read: Array, state: list[Array], beam: int, longest: int) -> Written:
        """The best text that ``searching`` finds, alone."""
        return self.search_all([self.searching(read, state, beam, longest)])[0]

    def search_all(self, searches: Sequence[Search]) -> list[Written]:
        """What each search finds; those that go on are stepped together, a call of the engine a symbol."""
        found: dict[int, Written] = {}
        asked = {n: next(search) for n, search in enumerate(searches)}
        while asked:
            answers = zip(list(asked), self._stepped(list(asked.values())), strict=True)
            for n, answer in answers:
                try:
                    asked[n] = searches[n].send(answer)
                except StopIteration as end:
                    found[n] = end.value
                    del asked[n]
        return [found[n] for n in range(len(searches))]

    def _stepped(self, asked: Sequence[Asked]) -> list[Stepped]:
        """Outputs and state after a step of each."""
        state = [np.concatenate(parts) for parts in zip(*(own.state for own in asked), strict=True)]
        h = self.decoder.step(np.concatenate([own.symbols for own in asked]), state)
        ends = np.cumsum([len(own.symbols) for own in asked]).tolist()
        places = [slice(end - len(own.symbols), end) for own, end in zip(asked, ends, strict=True)]
        return [Stepped(h[own], [part[own] for part in state]) for own in places]

    def searching(self, read: Array, state: list[Array], beam: int, longest: int) -> Search:
        """The best of ``beam`` texts that are written side by side, by the mean log-probability of a symbol.

        It asks for one step after the other.

        Each step keeps the ``beam`` likeliest beginnings; one that ends is set aside, and the search goes on
        until none that is left promises more. An unknown word is never written. A beam of 1 is greedy: it
        takes the likeliest symbol at each step and ends where that is the end.
        """
        end, live, done = self.config.end, [_Beginning([], 0.0, [])], list[_Beginning]()
        for _ in range(longest):
            last = [one.numbers[-1] if one.numbers else end for one in live]
            h, state = yield Asked(np.array(last), state)
            z, seen = self._scores(h, read)
            logs = log_softmax(z)
            if self.targets.open:
                logs[:, 0] = -np.inf
            grown, parents, ended = _grown(live, logs, seen, beam, end)
            done += ended
            if not grown or (len(done) >= beam and max(map(_mean, done)) >= max(map(_mean, grown))):
                break
            live, state = grown, [np.ascontiguousarray(part[parents]) for part in state]
        finished = max(done or live, key=_mean)
        numbers = finished.numbers[:-1] if finished.numbers[-1] == end else finished.numbers
        attention = np.array(finished.seen)[: len(numbers)] if finished.seen else None
        symbols = [self.targets.symbols[n] for n in numbers]
        return Written(symbols, _mean(finished), attention)


class _Beginning(NamedTuple):
    numbers: list[int]
    total: float
    seen: list[Array]


def _grown(
    live: list[_Beginning], logs: Array, seen: Array | None, beam: int, end: int
) -> tuple[list[_Beginning], list[int], list[_Beginning]]:
    """The likeliest beginnings one symbol further, of which each goes on, and those that end here."""
    totals = np.array([one.total for one in live])[:, None] + logs
    grown: list[_Beginning] = []
    parents: list[int] = []
    ended: list[_Beginning] = []
    for place in _largest(totals.ravel(), 2 * beam if beam > 1 else 1).tolist():
        row, symbol = divmod(place, logs.shape[1])
        looked = [] if seen is None else [*live[row].seen, seen[row]]
        one = _Beginning([*live[row].numbers, symbol], float(totals[row, symbol]), looked)
        if symbol == end:
            ended.append(one)
        elif len(grown) < beam:
            grown.append(one)
            parents.append(row)
    return grown, parents, ended


def _largest(values: Array, count: int) -> NDArray[np.int64]:
    """The places of the ``count`` largest, the largest first; of equal ones the first place."""
    places = np.argpartition(-values, count)[:count] if count < values.size else np.arange(values.size)
    found: NDArray[np.int64] = places[np.lexsort((places, -values[places]))]
    return found


def _mean(one: _Beginning) -> float:
    return one.total / len(one.numbers)
