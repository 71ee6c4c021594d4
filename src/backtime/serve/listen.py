"""The HTTP server: slow heads, broken requests, and how it stops."""

import asyncio
import os
import socket
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from backtime.serve.app import Server
from backtime.serve.logs import event
from backtime.serve.settings import ServeSettings

SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
    b'{"error": "the head of the request came too slowly"}'
)
LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/json\r\nconnection: close\r\n\r\n"
    b'{"error": "the head of the request is too large"}'
)
MOST_HEADERS, LONGEST_HEADER = 100, 8000  # for a WebSocket; the library refuses more without a word


def protocol(settings: ServeSettings) -> type[H11Protocol]:
    """Uvicorn's protocol, which waits for the head of a request no longer than it may."""

    class Protocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(settings.request_seconds, self._too_slow)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._timer:
                self._timer.cancel()
            super().connection_lost(exc)

        def _too_slow(self) -> None:
            if not self.headers and not self.transport.is_closing():  # no request has begun
                self.transport.write(SLOW)
                self.transport.close()

        def handle_websocket_upgrade(self, request: Any) -> None:
            if self._timer:  # another protocol hears when the connection ends: the timer would keep this one
                self._timer.cancel()
            if len(self.headers) > MOST_HEADERS or any(len(v) > LONGEST_HEADER for _, v in self.headers):
                self.transport.write(LARGE)
                self.transport.close()
                return
            super().handle_websocket_upgrade(request)

        def send_400_response(self, msg: str) -> None:
            if self.cycle is not None and self.cycle.response_started:
                self.transport.close()  # the answer is under way: what comes behind the request is broken
                return
            super().send_400_response(msg)

    return Protocol


class Listener(uvicorn.Server):
    """Uvicorn that ends what was begun before it closes: the first signal refuses new work with 503."""

    def __init__(self, server: Server, ready: Any = None) -> None:
        """``ready`` is called with the address when it listens."""
        self.own, settings = server, server.settings
        self._ready = ready
        super().__init__(
            uvicorn.Config(
                server.guard, settings.host, settings.port, http=protocol(settings), log_config=None,
                access_log=False, server_header=False, proxy_headers=False, ws_per_message_deflate=False,
                ws_max_size=int(settings.message_kilobytes * 1024), lifespan="on", loop="asyncio",
                limit_concurrency=settings.most_connections, timeout_graceful_shutdown=2,
            )
        )  # fmt: skip

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say where."""
        await super().startup(sockets)
        if self.started:
            self.loop = asyncio.get_running_loop()
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            event("listening", host=host, port=port, models=list(self.own.models), pid=os.getpid())
            if self._ready:
                self._ready(host, port)

    loop: asyncio.AbstractEventLoop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins to stop, the second one stops at once."""
        if self.own.guard.stopping:
            self.should_exit = self.force_exit = True
        self.own.guard.stopping = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether it is time to go."""
        guard = self.own.guard
        if guard.stopping and not self.should_exit:
            self._since = getattr(self, "_since", counter)
            late = (counter - self._since) / 10 > self.own.settings.grace_seconds
            if late or (counter > self._since and not guard.busy and not guard.talking):
                event("stopping", unfinished=guard.busy + guard.talking)
                self.should_exit = True
        return await super().on_tick(counter)
