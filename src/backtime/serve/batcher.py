"""All sequences that a model reads at a time, stepped together: one call of the engine a tick."""

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter

import numpy as np

from backtime.reference.weights import Array
from backtime.runtime.sample import Sampler, draw_together
from backtime.runtime.stacks import Stack
from backtime.serve.pool import Pool

Observe = Callable[[int, float], None]  # rows of a tick, and its seconds


class Job:
    """What is to be done with one row: symbols to read, one a tick. Subclasses say which, in ``advance``.

    ``token`` is the symbol that the next tick reads. Where ``sampler`` is there, the tick draws from the
    logits that follow. ``finished`` is set when all is done, with the error that ended it, if one did.
    """

    token: int
    sampler: Sampler | None = None
    waiting = False  # for its reader: whoever reads on adds it again

    def __init__(self, row: int) -> None:
        """For a row of the pool."""
        self.row = row
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def advance(self, logits: Array, drawn: int) -> bool:
        """Take the logits (V,) after ``token``, and what was drawn; whether there is another ``token``.

        Row n of the logits does not outlive the tick: what is kept of it is to be copied.
        """
        raise NotImplementedError

    def end(self, error: BaseException | None = None) -> None:
        """No more steps."""
        if self.finished.done():
            return
        if error is None:
            self.finished.set_result(None)
        else:
            self.finished.set_exception(error)
            self.finished.exception()  # whoever waits is told; where nobody does, it is no accident


class Batcher:
    """Steps the jobs of one model, each by one symbol a tick, as long as there are any.

    The engine's numbers do not depend on a row's neighbours, so neither does any answer. When there are more
    jobs than ``most`` rows they take turns. Between ticks the event loop does whatever else is due.
    """

    def __init__(self, stack: Stack, most: int, observe: Observe) -> None:
        """Nothing runs before ``run``."""
        self.pool, self._stack, self._most, self._observe = Pool(stack), stack, most, observe
        self._jobs: deque[Job] = deque()
        self._work = asyncio.Event()

    def __len__(self) -> int:
        """How many jobs there are."""
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Step this job from now on."""
        self._jobs.append(job)
        self._work.set()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await self._work.wait()
            while self._jobs:
                self.tick()
                await asyncio.sleep(0)
            self._work.clear()

    def tick(self) -> None:
        """One step of each job, of the first ``most``."""
        start, taken = perf_counter(), []
        for _ in range(min(self._most, len(self._jobs))):
            job = self._jobs.popleft()
            if not job.finished.done():  # else somebody has given it up
                taken.append(job)
        if not taken:
            return
        logits = self._step(taken)
        self._jobs.extend(
            job for job, own, symbol in self._drawn(taken, logits) if _advance(job, own, symbol)
        )
        self._observe(len(taken), perf_counter() - start)

    def _step(self, jobs: list[Job]) -> Array:
        rows = [job.row for job in jobs]
        state = self.pool.gather(rows)
        tokens = np.array([job.token for job in jobs])
        if self._stack.native:
            logits = self._stack.step(tokens, state)
        else:  # one by one: only so does no row depend on its neighbours
            each = [slice(n, n + 1) for n in range(len(jobs))]
            logits = np.concatenate([self._stack.step(tokens[n], [own[n] for own in state]) for n in each])
        self.pool.scatter(rows, state)
        return logits

    def _drawn(self, jobs: list[Job], logits: Array) -> list[tuple[Job, Array, int]]:
        """Each job with its logits and what was drawn; 0 where it is not to draw."""
        drawing = [n for n, job in enumerate(jobs) if job.sampler is not None]
        symbols = [0] * len(jobs)
        if drawing:
            samplers = [job.sampler for job in jobs if job.sampler is not None]
            own = logits if len(drawing) == len(jobs) else logits[drawing]
            for n, symbol in zip(drawing, draw_together(samplers, own), strict=True):
                symbols[n] = symbol
        return list(zip(jobs, logits, symbols, strict=True))


def _advance(job: Job, logits: Array, symbol: int) -> bool:
    """Whether the job goes on; what goes wrong in it ends it and no other."""
    try:
        if job.advance(logits, symbol):
            return not job.waiting
        job.end()
    except Exception as error:
        job.end(error)
    return False
