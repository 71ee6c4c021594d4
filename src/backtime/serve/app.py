"""The addresses of the server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from backtime.serve.answers import Events, as_json, end_of
from backtime.serve.bodies import read_body
from backtime.serve.errors import Refusal
from backtime.serve.guard import Guard
from backtime.serve.messages import object_of, read_records
from backtime.serve.metrics import Metrics
from backtime.serve.openapi import document
from backtime.serve.served import Served
from backtime.serve.served_text import ServedText
from backtime.serve.settings import ServeSettings
from backtime.serve.talk import talk

PAGE = Path(__file__).with_name("page")
FILES = {"page.css": "text/css", "page.js": "text/javascript", "colours.js": "text/javascript"}


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
        return as_json({"status": "stopping" if stopping else "ok"}, 503 if stopping else 200)

    async def counted(self, request: Request) -> Response:
        """For Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, request: Request) -> Response:
        """The addresses, for programs."""
        return as_json(document(self.settings))

    async def list(self, request: Request) -> Response:
        """What is served."""
        return as_json({"models": [model.about() for model in self.models.values()]})

    async def one(self, request: Request) -> Response:
        """One of them."""
        return as_json(self._model(request).about())

    async def predict(self, request: Request) -> Response:
        """Rows for records."""
        model = self._model(request)
        data = await read_body(request, self.settings, "application/json")
        return as_json(
            {"rows": await model.predict(read_records(data, self.settings.most_records), len(data))}
        )

    async def predict_file(self, request: Request) -> Response:
        """Rows for a file's records."""
        model, name = self._model(request), request.query_params.get("name", "")
        data = await read_body(request, self.settings, "application/octet-stream")
        return as_json({"rows": await model.predict_file(name, data)})

    async def sample(self, request: Request) -> Response:
        """A text as one answer."""
        model = self._text_model(request)
        body = object_of(await read_body(request, self.settings, "application/json"))
        job = model.start(body)
        try:
            text = "".join([piece async for piece in model.text(job)])
        except TimeoutError:
            raise Refusal(413, "the text takes too long; ask for a shorter one") from None
        return as_json({"text": text, "symbols": job.written, "end": end_of(job)})

    async def stream(self, request: Request) -> Response:
        """A text as it comes, in server-sent events."""
        model = self._text_model(request)
        body = object_of(await read_body(request, self.settings, "application/json"))
        job = model.start(body)
        return Events(model, job)

    async def session(self, socket: WebSocket) -> None:
        """A text that goes on from message to message."""
        await talk(self._text_model(socket), socket, self.guard, self.settings.idle_seconds)

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
