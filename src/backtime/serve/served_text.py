"""A language model that is served: texts, scores and sessions, stepped together."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import backtime.tasks as tasks
from backtime.errors import UsageError
from backtime.fields import read
from backtime.runtime.model import Model
from backtime.runtime.predictor import Row
from backtime.runtime.sample import Sampler, StopString
from backtime.runtime.scores import LineScore
from backtime.serve.batcher import Batcher
from backtime.serve.errors import Refusal
from backtime.serve.jobs import Scoring, Writing
from backtime.serve.metrics import Metrics
from backtime.serve.served import Served
from backtime.serve.session import Session
from backtime.serve.settings import ServeSettings
from backtime.serve.worker import Worker

PAUSE = 0.05  # seconds of text in one event of a stream: more events cost more than they show


class ServedText(Served):
    """A language model: whatever is asked of it goes through its batcher."""

    def __init__(
        self, name: str, model: Model, worker: Worker, settings: ServeSettings, metrics: Metrics
    ) -> None:
        """Ready to predict, to write and for sessions."""
        super().__init__(name, "language", model, worker, metrics)
        self.model, self.settings, self.metrics = model, settings, metrics
        self.sessions, self.streams = 0, 0
        self.batcher = Batcher(model.stack, settings.most_rows, metrics.ticking(name))
        memory = self.batcher.pool.bytes_each + len(model.vocabulary) * 4
        self.most_sessions = min(settings.most_sessions, int(settings.session_megabytes * 2**20 / memory))

    def about(self) -> dict[str, Any]:
        """With the sizes of the network."""
        own, config = self.model.vocabulary, self.model.config
        return super().about() | {
            "level": own.level, "vocabulary_size": len(own), "cell": config.cell, "layers": config.layers,
            "hidden_size": config.hidden_size,
        }  # fmt: skip

    async def run(self) -> None:
        """The batcher's ticks."""
        await self.batcher.run()

    async def predict(self, values: list[Any], size: int) -> list[Row]:
        """Each line is scored beside the others, and beside all else that the model is asked."""
        self._check_place(len(values))
        scores = [LineScore(self.model.vocabulary, text) for text in self.model.from_json(values)]
        if sum(len(score.symbols) for score in scores) > self.settings.most_symbols:
            raise Refusal(413, f"records have more than {self.settings.most_symbols:,} symbols; send fewer")
        rows = [self.batcher.pool.take() for _ in scores]
        jobs = [Scoring(row, score) for row, score in zip(rows, scores, strict=True)]
        self.streams += len(jobs)
        try:
            for job in jobs:
                self.batcher.add(job)
            async with asyncio.timeout(self.settings.work_seconds):
                await asyncio.gather(*(job.finished for job in jobs))
        except TimeoutError:
            raise Refusal(413, "the prediction takes too long; send fewer or shorter records") from None
        finally:
            self.streams -= len(jobs)
            for job in jobs:
                job.end()
                self.batcher.pool.give(job.row)
        return [{"line": n, **score.row()} for n, score in enumerate(scores, 1)]

    def start(self, body: dict[str, Any]) -> Writing:
        """The text that a request describes: the options of ``backtime sample``; raises ``UsageError``."""
        self._check_place(1)
        kind = tasks.find(self.task)
        asked: Any = read(cast(type[Any], kind.sampling), body, "the request")
        if not 1 <= asked.length <= self.settings.most_symbols:
            raise UsageError(f"length is {asked.length}; expected 1 to {self.settings.most_symbols:,}")
        V = len(self.model.vocabulary)
        sampler = Sampler(V, asked.temperature, asked.top_k, asked.top_p, asked.greedy, asked.seed)
        stop = None if asked.stop is None else StopString(asked.stop)
        prompt, decoder = self.model.encode(asked.prompt), self.model.vocabulary.decoder()
        if len(prompt) > self.settings.most_symbols:
            raise UsageError(f"the prompt has {len(prompt):,} symbols; expected fewer")
        for token in prompt if asked.prompt else ():
            decoder.feed(token)
        job = Writing(self.batcher.pool.take(), prompt, asked.length, sampler, decoder, stop)
        self.streams += 1
        self.batcher.add(job)
        return job

    async def text(self, job: Writing, pause: float = PAUSE) -> AsyncIterator[str]:
        """The text of a job in pieces; ends with it, or when its time is over."""
        first = True
        try:
            async with asyncio.timeout(self.settings.stream_seconds):
                while piece := await job.read(self.batcher, 0 if first else pause):
                    first = False
                    yield piece
        finally:
            self.leave(job)

    def leave(self, job: Writing) -> None:
        """End a text, wherever it is."""
        if not job.left:
            job.left = True
            job.end()
            self.streams -= 1
            self.batcher.pool.give(job.row)

    def open(self) -> Session:
        """A new session; ``Refusal`` where there are too many."""
        if self.sessions >= self.most_sessions:
            raise Refusal(429, f"{self.most_sessions:,} sessions are open; try again in a while")
        self.sessions += 1
        self.metrics.sessions.labels(self.name).inc()
        return Session(self.model, self.batcher)

    def close(self, session: Session) -> None:
        """End a session."""
        session.close()
        self.sessions -= 1
        self.metrics.sessions.labels(self.name).dec()

    def _check_place(self, wanted: int) -> None:
        if self.streams + wanted > self.settings.most_streams and self.streams:
            raise Refusal(429, f"{self.streams} texts are under way; try again in a while")
