"""The addresses of the server."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route, Router, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from backtime.errors import UsageError, one_line
from backtime.files import to_json
from backtime.serve.bodies import read_body
from backtime.serve.errors import Refusal
from backtime.serve.guard import SUBPROTOCOL, Guard
from backtime.serve.jobs import Writing
from backtime.serve.messages import object_of, read_message, read_records
from backtime.serve.metrics import Metrics
from backtime.serve.openapi import document
from backtime.serve.served import Served, ServedText
from backtime.serve.settings import ServeSettings

PAGE = Path(__file__).with_name("page")
FILES = {"page.css": "text/css", "page.js": "text/javascript", "colours.js": "text/javascript"}
LONGEST_READ = 10_000  # symbols of one message


class Server:
    """The handlers, and what they share."""

    def __init__(self, models: dict[str, Served], settings: ServeSettings, metrics: Metrics) -> None:
        """For these models."""
        self.models, self.settings, self.metrics = models, settings, metrics
        routes: list[Route | WebSocketRoute] = [
            Route("/", self.page),
            Route("/page/{file}", self.page_file),
            Route("/favicon.ico", self.no_icon),
            Route("/healthz", self.health),
            Route("/metrics", self.counted),
            Route("/openapi.json", self.openapi),
            Route("/v1/models", self.list),
            Route("/v1/models/{model}", self.one),
            Route("/v1/models/{model}/predict", self.predict, methods=["POST"]),
            Route("/v1/models/{model}/predict-file", self.predict_file, methods=["POST"]),
            Route("/v1/models/{model}/sample", self.sample, methods=["POST"]),
            Route("/v1/models/{model}/stream", self.stream, methods=["POST"]),
            WebSocketRoute("/v1/models/{model}/session", self.session),
        ]
        self.router = Router(routes, lifespan=self._life)
        names = {route.endpoint: route.path for route in routes}
        self.guard = Guard(self.router, settings, metrics, names)

    @contextlib.asynccontextmanager
    async def _life(self, app: Any) -> AsyncIterator[None]:
        running = [asyncio.create_task(model.run()) for model in self.models.values()]
        yield
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def page(self, request: Request) -> Response:
        """The page."""
        return FileResponse(PAGE / "index.html", media_type="text/html; charset=utf-8")

    async def page_file(self, request: Request) -> Response:
        """What the page is made of."""
        name = request.path_params["file"]
        if name not in FILES:
            raise Refusal(404, "there is no such file of the page")
        return FileResponse(PAGE / name, media_type=f"{FILES[name]}; charset=utf-8")

    async def no_icon(self, request: Request) -> Response:
        """Browsers ask for one."""
        return Response(status_code=204)

    async def health(self, request: Request) -> Response:
        """Whether new work is taken: 200, or 503."""
        stopping = self.guard.stopping
        return _json({"status": "stopping" if stopping else "ok"}, 503 if stopping else 200)

    async def counted(self, request: Request) -> Response:
        """For Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, request: Request) -> Response:
        """The addresses, for programs."""
        return _json(document(self.settings))

    async def list(self, request: Request) -> Response:
        """What is served."""
        return _json({"models": [model.about() for model in self.models.values()]})

    async def one(self, request: Request) -> Response:
        """One of them."""
        return _json(self._model(request).about())

    async def predict(self, request: Request) -> Response:
        """Rows for records."""
        model = self._model(request)
        data = await read_body(request, self.settings, "application/json")
        return _json({"rows": await model.predict(read_records(data, self.settings.most_records))})

    async def predict_file(self, request: Request) -> Response:
        """Rows for a file's records."""
        model, name = self._model(request), request.query_params.get("name", "")
        data = await read_body(request, self.settings, "application/octet-stream")
        return _json({"rows": await model.predict_file(name, data)})

    async def sample(self, request: Request) -> Response:
        """A text as one answer."""
        model = self._text_model(request)
        body = object_of(await read_body(request, self.settings, "application/json"))
        job = model.start(body)
        try:
            text = "".join([piece async for piece in model.text(job)])
        except TimeoutError:
            raise Refusal(413, "the text takes too long; ask for a shorter one") from None
        return _json({"text": text, "symbols": job.written, "end": _end(job)})

    async def stream(self, request: Request) -> Response:
        """A text as it comes, in server-sent events."""
        model = self._text_model(request)
        body = object_of(await read_body(request, self.settings, "application/json"))
        job = model.start(body)
        return _Events(model, job)

    async def session(self, socket: WebSocket) -> None:
        """A text that goes on from message to message."""
        model = self._text_model(socket)
        session = model.open()
        try:
            offered = [p for p in socket.scope["subprotocols"] if p.startswith(SUBPROTOCOL)]
            await socket.accept(subprotocol=offered[0] if offered else None)
            await self._talk(model, session, socket)
        finally:
            model.close(session)

    async def _talk(self, model: ServedText, session: Any, socket: WebSocket) -> None:
        while not self.guard.stopping:
            text = await self._hear(socket)
            if text is None:
                return
            start = perf_counter()
            self.guard.talking += 1
            try:
                answer = await session.answer(read_message(text, LONGEST_READ))
            except UsageError as error:
                answer = {"error": one_line(str(error))}
            finally:
                self.guard.talking -= 1
            async with asyncio.timeout(self.settings.request_seconds):
                await socket.send_text(to_json(answer, ensure_ascii=False, separators=(",", ":")))
            self.metrics.messages.labels(model.name).observe(perf_counter() - start)
        await socket.close(1001, "the server is stopping")

    async def _hear(self, socket: WebSocket) -> str | None:
        """The next message; None where the session is over, and its client is told why."""
        try:
            async with asyncio.timeout(self.settings.idle_seconds):
                message = await socket.receive()
        except TimeoutError:
            await socket.close(1008, "idle for too long")
            return None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        if message.get("text") is None:
            await socket.close(1003, "expected text messages with JSON")
        text: str | None = message.get("text")
        return text

    def _model(self, request: Request | WebSocket) -> Served:
        found = self.models.get(request.path_params["model"])
        if found is None:
            raise Refusal(404, f"there is no such model; expected one of {', '.join(self.models)}")
        return found

    def _text_model(self, request: Request | WebSocket) -> ServedText:
        found = self._model(request)
        if not isinstance(found, ServedText):
            raise Refusal(404, f"the task {found.task} writes no text; expected a language model")
        return found


class _Events(StreamingResponse):
    """A text as server-sent events; whoever leaves ends it."""

    def __init__(self, model: ServedText, job: Writing) -> None:
        self._model, self._job = model, job
        super().__init__(self._events(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    async def _events(self) -> AsyncIterator[str]:
        try:
            async for piece in self._model.text(self._job):
                yield f"data: {json.dumps({'text': piece})}\n\n"
            end: dict[str, Any] = {"symbols": self._job.written, "end": _end(self._job)}
        except (TimeoutError, UsageError) as error:
            end = {"error": one_line(str(error)) or "the text takes too long", "symbols": self._job.written}
        yield f"event: end\ndata: {json.dumps(end)}\n\n"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send, and give the row back whatever happens."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._model.leave(self._job)


def _end(job: Writing) -> str:
    return "stop" if job.stopped else "length"


def _json(value: Any, status: int = 200) -> Response:
    return Response(to_json(value, ensure_ascii=False).encode(), status, media_type="application/json")
