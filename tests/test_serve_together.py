"""Requests that come together: one call, the bits of each alone, and nobody pays for a neighbour."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import backtime.tasks as tasks
from backtime.errors import UsageError
from backtime.runtime.predictor import Prepared, Row
from backtime.serve.errors import Refusal
from backtime.serve.group import MOST_STEPS, Groups
from backtime.serve.worker import Worker
from serving import classifier


class Echo:
    """Answers with the record; knows how many records each call had."""

    json_records, file_endings = "anything", ()

    def __init__(self, act: Callable[[Any], None] = lambda own: None) -> None:
        self.act, self.calls = act, list[int]()

    def from_json(self, values: list[Any]) -> list[Any]:
        return values

    def read(self, source: Path | None) -> Iterator[Any]:
        raise NotImplementedError

    def predict(self, records: Any) -> Iterator[Row]:
        raise NotImplementedError

    def prepare(self, record: Any, number: int) -> Prepared:
        return Prepared(record, 1)

    def answers(self, values: Sequence[Any]) -> list[list[Row]]:
        self.calls.append(len(values))
        for own in values:
            self.act(own)
        return [[{"own": own}] for own in values]


def ask(predictor: Any, requests: list[list[Prepared]], seconds: float = 5.0) -> list[Any]:
    """What each of the requests gets, all sent at a time: rows, or the error."""

    async def run() -> list[Any]:
        groups = Groups(predictor, Worker(seconds), lambda records: None)
        running = asyncio.create_task(groups.run())
        try:
            return await asyncio.gather(*map(groups.rows, requests), return_exceptions=True)
        finally:
            running.cancel()

    return asyncio.run(run())


def one(value: Any, steps: int = 1) -> list[Prepared]:
    return [Prepared(value, steps)]


def test_what_comes_together_is_one_call() -> None:
    echo = Echo()
    found = ask(echo, [one(n) for n in range(40)])
    assert found == [[{"own": n}] for n in range(40)] and echo.calls == [40]


def test_what_comes_while_the_engine_is_busy_gathers() -> None:
    echo = Echo(lambda own: time.sleep(0.02))
    ask(echo, [one(n, MOST_STEPS // 2) for n in range(8)])
    assert sorted(echo.calls) == [2, 2, 2, 2]


def test_a_large_request_is_cut_and_has_no_company() -> None:
    echo = Echo()
    large = [Prepared(n, MOST_STEPS // 3) for n in range(7)]
    found = ask(echo, [large, one("small")])
    assert found[0] == [{"own": n} for n in range(7)] and sorted(echo.calls) == [1, 1, 3, 3]


def test_nobody_pays_for_a_neighbour_that_fails() -> None:
    def act(own: Any) -> None:
        if own == 3:
            raise UsageError("the third")

    found = ask(Echo(act), [one(n) for n in range(6)])
    assert [own for n, own in enumerate(found) if n != 3] == [[{"own": n}] for n in (0, 1, 2, 4, 5)]
    assert isinstance(found[3], UsageError) and str(found[3]) == "the third"


def test_nobody_pays_for_a_neighbour_that_takes_too_long() -> None:
    def act(own: Any) -> None:
        if own == 1:
            for _ in range(1000):
                time.sleep(0.01)

    found = ask(Echo(act), [one(n) for n in range(4)], seconds=0.3)
    assert isinstance(found[1], Refusal) and found[1].status == 413
    assert [found[n] for n in (0, 2, 3)] == [[{"own": n}] for n in (0, 2, 3)]


def test_an_answer_has_the_bits_that_it_has_alone(tmp_path: Path) -> None:
    predictor: Any = tasks.load(classifier(tmp_path))
    texts = ["good film", "bad", "good " * 30, "film bad unknown words", "good"] * 7
    prepared = [predictor.prepare(text, 1).value for text in texts]
    together = predictor.answers(prepared)
    assert together == [predictor.answers([own])[0] for own in prepared]
    assert [rows[0]["record"] for rows in together] == [1] * len(texts)


def test_a_predictor_that_reads_no_json_is_refused() -> None:
    from backtime.serve.metrics import Metrics
    from backtime.serve.served import Served

    with pytest.raises(UsageError, match="total cannot be served"):
        Served("m", "total", object(), Worker(1.0), Metrics())  # type: ignore[arg-type]
