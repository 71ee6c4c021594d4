"""Requests that come together, answered together: their records share calls of the engine."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from backtime.runtime.predictor import GroupPredictor, Prepared, Row
from backtime.serve.errors import Refusal
from backtime.serve.worker import Worker

COMPANY = 0.002  # seconds that a request waits for others, so that those that come together are one group
MOST_STEPS = 4096  # of a call: enough to fill the engine, few enough that nobody waits long for a neighbour
AT_ONCE, WAITING = 2, 512  # groups of a model under way; requests that wait for their turn

Observe = Callable[[int], None]  # records of a call


class Request(NamedTuple):
    """The records of a request, how many steps they are, and where its rows go."""

    records: Sequence[Prepared]
    steps: int
    rows: "asyncio.Future[list[Row]]"


class Groups:
    """Answers requests for one model. An answer has the same bits alone and in company.

    Whatever has come is one group, up to ``MOST_STEPS`` steps; while ``AT_ONCE`` groups are under way, others
    gather. Where a group fails or takes too long, each of its requests is answered alone, so that none pays
    for a neighbour.
    """

    def __init__(self, predictor: GroupPredictor, worker: Worker, observe: Observe) -> None:
        """Nothing is answered before ``run``."""
        self.predictor, self._worker, self._observe = predictor, worker, observe
        self._waiting: deque[Request] = deque()
        self._come, self._places = asyncio.Event(), asyncio.Semaphore(AT_ONCE)

    async def rows(self, records: Sequence[Prepared]) -> list[Row]:
        """The rows of a request; raises ``UsageError`` or ``Refusal``."""
        if len(self._waiting) >= WAITING:
            raise Refusal(429, f"{WAITING} requests are waiting; try again in a while")
        answer: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
        self._waiting.append(Request(records, sum(own.steps for own in records), answer))
        self._come.set()
        return await answer

    async def run(self) -> None:
        """Answer until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._come.wait()
                await asyncio.sleep(COMPANY)
                await self._places.acquire()
                tasks.create_task(self._answer(self._next()))
                if not self._waiting:
                    self._come.clear()

    def _next(self) -> list[Request]:
        """Who is answered now: the first that waits, and others as long as their steps are few."""
        group, steps = list[Request](), 0
        while self._waiting and (not group or steps + self._waiting[0].steps <= MOST_STEPS):
            group.append(self._waiting.popleft())
            steps += group[-1].steps
        return group

    async def _answer(self, group: list[Request]) -> None:
        try:
            if not await self._together(group):
                await asyncio.gather(*(self._alone(request) for request in group))
        finally:
            self._places.release()

    async def _together(self, group: list[Request]) -> bool:
        """Whether all got their rows."""
        if len(group) < 2:
            return False
        records = [own for request in group for own in request.records]
        try:
            rows = iter(await self._worker.run(lambda: self._predict(records)))
        except Exception:  # whose fault it is shows when each is alone
            return False
        for request in group:
            _give(request, [row for _ in request.records for row in next(rows)])
        return True

    async def _alone(self, request: Request) -> None:
        try:
            rows = await self._worker.run(lambda: self._predict(request.records))
            _give(request, [row for own in rows for row in own])
        except Exception as error:
            if not request.rows.done():
                request.rows.set_exception(error)

    def _predict(self, records: Sequence[Prepared]) -> list[list[Row]]:
        """The rows of each record, in calls of ``MOST_STEPS``."""
        found: list[list[Row]] = []
        while len(found) < len(records):
            part = _first(records[len(found) :])
            self._observe(len(part))
            found += self.predictor.answers([own.value for own in part])
        return found


def _first(records: Sequence[Prepared]) -> Sequence[Prepared]:
    """One record, and more as long as their steps are few."""
    steps, count = records[0].steps, 1
    while count < len(records) and steps + records[count].steps <= MOST_STEPS:
        steps += records[count].steps
        count += 1
    return records[:count]


def _give(request: Request, rows: list[Row]) -> None:
    if not request.rows.done():  # else its client has gone
        request.rows.set_result(rows)
