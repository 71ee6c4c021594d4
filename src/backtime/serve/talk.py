"""A session over a WebSocket: a message in, an answer out, until one side has enough."""

import asyncio
from time import perf_counter

from starlette.websockets import WebSocket, WebSocketDisconnect

from backtime.errors import UsageError, one_line
from backtime.files import to_json
from backtime.serve.guard import SUBPROTOCOL, Guard
from backtime.serve.messages import read_message
from backtime.serve.served_text import ServedText
from backtime.serve.session import Session

LONGEST_READ = 10_000  # symbols of one message


async def talk(model: ServedText, socket: WebSocket, guard: Guard, idle_seconds: float) -> None:
    """Open a session of the model and answer its messages, until the client goes or the server stops."""
    session = model.open()
    try:
        offered = [own for own in socket.scope["subprotocols"] if own.startswith(SUBPROTOCOL)]
        await socket.accept(subprotocol=offered[0] if offered else None)
        while not guard.stopping:
            text = await _hear(socket, idle_seconds)
            if text is None:
                return
            await _answer(model, session, socket, guard, text)
        await socket.close(1001, "the server is stopping")
    finally:
        model.close(session)


async def _answer(model: ServedText, session: Session, socket: WebSocket, guard: Guard, text: str) -> None:
    start = perf_counter()
    guard.talking += 1
    try:
        answer = await session.answer(read_message(text, LONGEST_READ))
    except UsageError as error:
        answer = {"error": one_line(str(error))}
    finally:
        guard.talking -= 1
    async with asyncio.timeout(guard.settings.request_seconds):
        await socket.send_text(to_json(answer, ensure_ascii=False, separators=(",", ":")))
    model.metrics.messages.labels(model.name).observe(perf_counter() - start)


async def _hear(socket: WebSocket, idle_seconds: float) -> str | None:
    """The next message; None where the session is over, and its client is told why."""
    try:
        async with asyncio.timeout(idle_seconds):
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
