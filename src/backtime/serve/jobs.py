"""What a language model is asked to do, symbol by symbol: score a line, write a text, step a session."""

import asyncio

from backtime.data.text.decoders import Decoder
from backtime.errors import UsageError
from backtime.reference.weights import Array
from backtime.runtime.sample import Sampler, StopString
from backtime.runtime.scores import LineScore
from backtime.serve.batcher import Batcher, Job

AHEAD = 4096  # characters that a text may be ahead of its reader; then it waits


class Scoring(Job):
    """Reads the symbols of a line and scores them."""

    def __init__(self, row: int, score: LineScore) -> None:
        """The score must have a symbol."""
        super().__init__(row)
        self._score, self._rest = score, iter(score.symbols)
        self.token = next(self._rest)

    def advance(self, logits: Array, drawn: int) -> bool:
        """Count the next symbol."""
        self._score.take(logits)
        self.token = next(self._rest, -1)
        return self.token >= 0


class Writing(Job):
    """Reads a prompt, then writes ``length`` symbols after it; ``pieces`` hands the text over as it comes."""

    def __init__(
        self,
        row: int,
        prompt: list[int],
        length: int,
        sampler: Sampler,
        decoder: Decoder,
        stop: StopString | None,
    ) -> None:
        """``prompt`` has a symbol; ``length`` is 1 or more; ``decoder`` has read what is to be seen of it."""
        super().__init__(row)
        self.length, self.written = length, 0
        self.left = False  # whether its reader has gone, and its row is given back
        self._rest, self._draws, self._decoder, self._stop = prompt[::-1], sampler, decoder, stop
        self._text, self._news = "", asyncio.Event()
        self._read_on()

    def _read_on(self) -> None:
        self.token = self._rest.pop()
        self.sampler = None if self._rest else self._draws

    def advance(self, logits: Array, drawn: int) -> bool:
        """Go on in the prompt, or with the symbol drawn."""
        if self._rest:
            self._read_on()
            return True
        if drawn < 0:
            raise not_finite()
        self.token, self.written = drawn, self.written + 1
        self._show(self._decoder.feed(drawn))
        if self.written < self.length and not self.stopped:
            self.waiting = len(self._text) >= AHEAD
            return True
        if not self.stopped:
            self._show(self._decoder.flush())
        if self._stop and not self.stopped:
            self._text += self._stop.held
        return False

    @property
    def stopped(self) -> bool:
        """Whether the text has ended with its stop string."""
        return self._stop is not None and self._stop.found

    def end(self, error: BaseException | None = None) -> None:
        """Wake the reader too."""
        super().end(error)
        self._news.set()

    def _show(self, piece: str) -> None:
        self._text += self._stop.feed(piece) if self._stop else piece
        if self._text:
            self._news.set()

    async def read(self, batcher: Batcher, pause: float) -> str:
        """What has been written since the last time, and within ``pause`` seconds more; empty at the end.

        Raises what ended the job, if it was an error.
        """
        await self._news.wait()
        if pause and not self.finished.done():
            await asyncio.sleep(pause)
        self._news.clear()
        text, self._text = self._text, ""
        if self.finished.done():
            self._news.set()
            self.finished.result()
        if self.waiting:
            self.waiting = False
            batcher.add(self)
        return text


def not_finite() -> UsageError:
    """Of a model whose training has diverged."""
    return UsageError("the model's outputs are not finite numbers; its training has diverged")
