"""What stands before every request: who may ask, what is logged and counted, how errors are told."""

import hmac
import logging
import secrets
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from backtime.errors import UsageError, one_line
from backtime.serve.errors import Refusal
from backtime.serve.logs import event
from backtime.serve.metrics import Metrics
from backtime.serve.settings import ServeSettings

OPEN = ("/", "/healthz", "/favicon.ico")  # and /page/: what needs no token
LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1", "testserver")
SUBPROTOCOL = "token."  # a browser cannot send a header with a WebSocket: it names this and the token
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """Wraps the application. ``stopping`` refuses what is new with 503.

    ``busy`` counts the requests under way, ``talking`` the messages that sessions have yet to answer.
    """

    def __init__(
        self, app: ASGIApp, settings: ServeSettings, metrics: Metrics, names: Mapping[Any, str]
    ) -> None:
        """``names`` are the addresses of handlers, as they are counted. Reads the token."""
        self.app, self.settings, self.metrics, self.names = app, settings, metrics, names
        self.token = settings.token()
        self.stopping, self.busy, self.talking = False, 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        self.busy += scope["type"] == "http"
        scope["app"] = self  # so that the router raises what it does not find
        try:
            self._admit(scope)
            await self.app(scope, receive, exchange.send)
        except Exception as error:
            await exchange.refuse(_as_refusal(error), receive)
        finally:
            self.busy -= scope["type"] == "http"
            self._note(exchange)

    def _admit(self, scope: Scope) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        path, host = scope["path"], headers.get(b"host", "")
        if self.stopping and path not in ("/healthz", "/metrics"):
            raise Refusal(503, "the server is stopping; try another or again in a while", close=True)
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        local = self.settings.host in LOOPBACK
        if local and (not name or name not in (*LOOPBACK, self.settings.allow_host)):
            raise Refusal(421, "this server is asked by another name; expected localhost, or --allow-host")
        origin = headers.get(b"origin")
        if origin is not None and origin.split("://", 1)[-1] != host:
            raise Refusal(403, "the request comes from another site's page")
        if self.token and path not in OPEN and not path.startswith("/page/"):
            self._check_token(scope, headers)

    def _check_token(self, scope: Scope, headers: dict[bytes, str]) -> None:
        sent = headers.get(b"authorization", "")
        given = sent[7:] if sent[:7].lower() == "bearer " else ""
        for protocol in scope.get("subprotocols", []):
            given = protocol.removeprefix(SUBPROTOCOL) if protocol.startswith(SUBPROTOCOL) else given
        if not hmac.compare_digest(given.encode(), (self.token or "").encode()):
            raise Refusal(401, "the token is missing or wrong; expected Authorization: Bearer TOKEN")

    def _note(self, exchange: "_Exchange") -> None:
        route, seconds = (
            self.names.get(exchange.scope.get("endpoint"), "other"),
            perf_counter() - exchange.start,
        )
        self.metrics.requests.labels(route, str(exchange.status)).inc()
        if exchange.scope["type"] == "http":
            self.metrics.seconds.labels(route).observe(seconds)
        client = exchange.scope.get("client") or ("",)
        event(
            "request", id=exchange.id, type=exchange.scope["type"],
            method=exchange.scope.get("method", "GET"),
            path=exchange.scope["path"][:200], status=exchange.status, ms=round(seconds * 1e3, 3),
            bytes=exchange.bytes, client=client[0], **exchange.more,
        )  # fmt: skip


class _Exchange:
    """One request, and what has been answered so far."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope, self._send = scope, send
        self.id, self.start = secrets.token_hex(8), perf_counter()
        self.status, self.bytes, self.more = 0, 0, dict[str, Any]()

    async def send(self, message: Message) -> None:
        """Add our headers, and count."""
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
            names = {name for name, _ in message.get("headers", [])}
            own = [*HEADERS, (b"x-request-id", self.id.encode())]
            message["headers"] = [*message.get("headers", []), *(h for h in own if h[0] not in names)]
        elif kind == "websocket.accept":
            self.status = 101
        self.bytes += len(message.get("body", b"") or message.get("text") or b"")
        await self._send(message)

    async def refuse(self, refusal: Refusal, receive: Receive) -> None:
        """Tell the client, where that is still possible."""
        self.more["error"] = one_line(refusal.message, 300)
        if refusal.status >= 500 and refusal.status != 503:
            event("error", logging.ERROR, id=self.id, error=refusal.message)
        if self.status or refusal.status == 499:
            self.status = self.status or refusal.status
            return
        headers = {"connection": "close"} if refusal.close else {}
        if refusal.status == 401:
            headers["www-authenticate"] = "Bearer"
        if refusal.status in (429, 503):
            headers["retry-after"] = "5"
        response = JSONResponse({"error": one_line(refusal.message)}, refusal.status, headers)
        await response(self.scope, receive, self._deny)

    async def _deny(self, message: Message) -> None:
        extensions = self.scope.get("extensions") or {}
        if self.scope["type"] == "websocket" and "websocket.http.response" not in extensions:
            if message["type"].endswith("start"):
                self.status = 403
                await self._send({"type": "websocket.close", "code": 1008})
            return
        await self.send(message)


def _as_refusal(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, HTTPException):
        words = {404: "there is nothing at this address", 405: "this address takes another method"}
        return Refusal(error.status_code, words.get(error.status_code, error.detail))
    if isinstance(error, UsageError):
        return Refusal(400, str(error))
    if (
        isinstance(error, ClientDisconnect | WebSocketDisconnect)
        or type(error).__name__ == "ClientDisconnected"
    ):
        return Refusal(499, "the client has gone")
    logging.getLogger("backtime.serve").error("bug", exc_info=error)
    return Refusal(500, "an error of the server, which is in its log")
