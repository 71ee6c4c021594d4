"""The body of a request, within limits of size and time."""

import asyncio

from starlette.requests import Request

from backtime.errors import UsageError
from backtime.serve.errors import Refusal
from backtime.serve.settings import ServeSettings

LINGER = 2.0  # seconds in which what is too much is still read, so that the client hears the answer


async def read_body(request: Request, settings: ServeSettings, kind: str = "") -> bytes:
    """All of it; ``Refusal`` where it is too large, too slow or of another kind."""
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and sent != kind:
        raise Refusal(415, f"the content type is {sent[:60] or 'missing'}; expected {kind}", close=True)
    most, parts, size = int(settings.body_megabytes * 2**20), list[bytes](), 0
    try:
        async with asyncio.timeout(settings.request_seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    break
                parts.append(part)
    except TimeoutError:
        raise Refusal(
            408, f"the request took more than {settings.request_seconds:g} s to arrive", close=True
        ) from None
    if size > most:
        await _linger(request)
        raise Refusal(413, f"the request has more than {most:,} bytes", close=True)
    if not size:
        raise UsageError("the request is empty; expected a body")
    return b"".join(parts)


async def _linger(request: Request) -> None:
    try:
        async with asyncio.timeout(LINGER):
            while (await request.receive()).get("more_body"):
                pass
    except TimeoutError:
        return
