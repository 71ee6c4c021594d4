"""Answers: values as JSON, texts as events."""

import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response, StreamingResponse

from backtime.errors import UsageError, one_line
from backtime.files import to_json
from backtime.serve.jobs import Writing
from backtime.serve.served_text import ServedText


class Events(StreamingResponse):
    """A text as server-sent events; whoever leaves ends it."""

    def __init__(self, model: ServedText, job: Writing) -> None:
        """Of a job that is under way."""
        self._model, self._job = model, job
        super().__init__(self._events(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    async def _events(self) -> AsyncIterator[str]:
        try:
            async for piece in self._model.text(self._job):
                yield f"data: {json.dumps({'text': piece})}\n\n"
            end: dict[str, Any] = {"symbols": self._job.written, "end": end_of(self._job)}
        except (TimeoutError, UsageError) as error:
            end = {"error": one_line(str(error)) or "the text takes too long", "symbols": self._job.written}
        yield f"event: end\ndata: {json.dumps(end)}\n\n"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send, and give the row back whatever happens."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._model.leave(self._job)


def end_of(job: Writing) -> str:
    """Why a text has ended."""
    return "stop" if job.stopped else "length"


def as_json(value: Any, status: int = 200) -> Response:
    """A value as an answer."""
    return Response(to_json(value, ensure_ascii=False).encode(), status, media_type="application/json")
