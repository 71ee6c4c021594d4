"""A session: one text that goes on from message to message, its hidden state kept here."""

from typing import Any

import numpy as np

from backtime.errors import UsageError
from backtime.reference.weights import Array
from backtime.runtime.model import Model
from backtime.runtime.sample import Sampler
from backtime.serve.batcher import Batcher, Job
from backtime.serve.jobs import not_finite
from backtime.serve.messages import MOST_UNITS, Message, Units


class Session:
    """A row of the pool, the logits after what was read so far, and the draws' random numbers.

    One message is answered at a time; ``close`` gives the row back.
    """

    def __init__(self, model: Model, batcher: Batcher) -> None:
        """From a state of zeros."""
        self.model, self.batcher = model, batcher
        self.row, self.logits = batcher.pool.take(), None
        self.decoder, self.steps = model.vocabulary.decoder(), 0
        self.sampler = Sampler(len(model.vocabulary))
        self._job: Job | None = None

    logits: Array | None

    async def answer(self, message: Message) -> dict[str, Any]:
        """Do what a message asks for; where that cannot be, ``UsageError``, and nothing has changed."""
        symbols = self._symbols(message)
        _check_units(message.units, self.model)
        self._set_sampler(message)
        if message.reset:
            self._reset()
        if message.write and self.logits is None:
            await self._run(Steps(self, self.model.encode(""), 0, Message(reset=True, probabilities=False)))
        done: list[dict[str, Any]] = []
        if symbols or message.write:
            job = Steps(self, symbols, message.write, message)
            await self._run(job)
            done = job.done
        return {"steps": self.steps, "symbols": done, "next": self._next(message.top)}

    def close(self) -> None:
        """End what is under way, and give the row back."""
        if self._job:
            self._job.end()
        self.batcher.pool.give(self.row)

    async def _run(self, job: "Steps") -> None:
        self._job = job
        self.batcher.add(job)
        await job.finished
        self._job = None

    def _symbols(self, message: Message) -> list[int]:
        if message.read is not None:
            found: list[int] = self.model.vocabulary.encode(message.read).tolist()
            return found
        V = len(self.model.vocabulary)
        if any(not 0 <= token < V for token in message.tokens):
            raise UsageError(f"tokens has numbers outside of the vocabulary; expected 0 to {V - 1}")
        return message.tokens

    def _set_sampler(self, message: Message) -> None:
        V, seed = len(self.model.vocabulary), message.seed or 0
        new = Sampler(V, message.temperature, message.top_k, message.top_p, seed=seed)
        if message.seed is None:
            new.go_on_from(self.sampler)
        self.sampler = new

    def _reset(self) -> None:
        self.batcher.pool.clear(self.row)
        self.logits, self.steps, self.decoder = None, 0, self.model.vocabulary.decoder()

    def _next(self, top: int) -> list[list[Any]]:
        """The likeliest next symbols and their probabilities, after temperature and cuts."""
        if self.logits is None or not top:
            return []
        p = self.sampler.probabilities(self.logits)
        best = np.argsort(-p, kind="stable")[:top].tolist()
        names = self.model.vocabulary.symbols
        return [[names[n], round(float(p[n]), 6)] for n in best if p[n] > 0]


class Steps(Job):
    """Reads given symbols, or draws ``count`` and reads them; ``done`` says of each what came of it."""

    def __init__(self, session: Session, symbols: list[int], count: int, message: Message) -> None:
        """With ``count`` the session must have logits to draw from."""
        super().__init__(session.row)
        self.session, self.message = session, message
        self.done: list[dict[str, Any]] = []
        self._rest, self._left = symbols[::-1], count
        if session.logits is not None and not symbols:
            self._rest = [session.sampler.draw(session.logits)]
        self._read_on(self._rest.pop())

    def _read_on(self, token: int) -> None:
        self.token, self._left = token, max(0, self._left - 1)
        self.sampler = self.session.sampler if self._left else None

    def advance(self, logits: Array, drawn: int) -> bool:
        """Note what was read, and go on to the next."""
        if drawn < 0:
            raise not_finite()
        self._note()
        self.session.logits, self.session.steps = logits.copy(), self.session.steps + 1
        if not self._rest and not self._left:
            return False
        self._read_on(self._rest.pop() if self._rest else drawn)
        return True

    def _note(self) -> None:
        own = self.session
        entry: dict[str, Any] = {"text": own.decoder.feed(self.token), "token": self.token}
        if self.message.probabilities and own.logits is not None:
            entry["probability"] = round(float(own.sampler.probabilities(own.logits)[self.token]), 6)
        if self.message.units is not None:
            entry["units"] = self._activations(self.message.units)
        self.done.append(entry)

    def _activations(self, units: Units) -> list[float]:
        h = self.session.batcher.pool.activations(self.row, units.layer)
        return [round(value, 4) for value in h[units.numbers or slice(MOST_UNITS)].tolist()]


def _check_units(units: Units | None, model: Model) -> None:
    if units is None:
        return
    layers, size = model.config.layers, model.config.hidden_size
    if units.layer >= layers or any(not 0 <= n < size for n in units.numbers):
        raise UsageError(
            f"units are outside of the network; expected layer 0 to {layers - 1}, 0 to {size - 1}"
        )
