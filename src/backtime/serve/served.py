"""A model that is served, by its name in the addresses."""

from collections.abc import Callable
from typing import Any

import backtime.kernels as kernels
from backtime.errors import UsageError
from backtime.runtime.predictor import GroupPredictor, JsonPredictor, Predictor, Prepared, Row
from backtime.serve.files import check_name, sent_file
from backtime.serve.group import Groups
from backtime.serve.metrics import Metrics
from backtime.serve.worker import Worker

SMALL = 16_384  # bytes of a request that is read at once, not in a thread


class Served:
    """A model of any task. Requests that come together share calls of the engine, where its predictor can."""

    def __init__(self, name: str, task: str, predictor: Predictor, worker: Worker, metrics: Metrics) -> None:
        """Ready to predict; raises ``UsageError`` for a predictor that reads no JSON."""
        if not isinstance(predictor, JsonPredictor):
            raise UsageError(f"models for the task {task} cannot be served: they read no JSON")
        self.name, self.task, self.predictor, self.worker = name, task, predictor, worker
        self.groups: Groups | None = None
        if isinstance(predictor, GroupPredictor) and kernels.available():
            self.groups = Groups(predictor, worker, metrics.grouping(name))

    def about(self) -> dict[str, Any]:
        """What clients are told of it."""
        records, files = self.predictor.json_records, list(self.predictor.file_endings)
        return {"name": self.name, "task": self.task, "records": records, "files": files}

    async def predict(self, values: list[Any], size: int) -> list[Row]:
        """A row for each record, or more; raises ``UsageError``. ``size`` is in bytes."""
        return await self._predict(lambda: self.predictor.from_json(values), size)

    async def predict_file(self, name: str, data: bytes) -> list[Row]:
        """The same of a file's records."""
        check_name(name, self.predictor.file_endings)

        def read() -> list[Any]:
            with sent_file(name, data) as path:
                return list(self.predictor.read(path))

        return await self._predict(read, SMALL)

    async def _predict(self, read: Callable[[], list[Any]], size: int) -> list[Row]:
        if self.groups is None:
            found: list[Row] = await self.worker.run(lambda: list(self.predictor.predict(read())))
            return found
        prepare = self.groups.predictor.prepare

        def prepared() -> list[Prepared]:
            return [prepare(own, number) for number, own in enumerate(read(), 1)]

        records = prepared() if size < SMALL else await self.worker.run(prepared)
        return await self.groups.rows(records)

    async def run(self) -> None:
        """What goes on as long as the server does."""
        if self.groups is not None:
            await self.groups.run()
