"""Predictions of whole records, beside the event loop, each within its time."""

import asyncio
import contextlib
import ctypes
import threading
from collections.abc import Callable
from typing import Any

from backtime.serve.errors import Refusal

THREADS, WAITING = 4, 64


class _OutOfTime(SystemExit):
    """Ends a thread without a word."""


class Worker:
    """Runs functions in threads of their own, a few at a time. One that takes too long is stopped.

    Python can raise an exception in another thread between two of its instructions; a prediction is a loop of
    short calls, so that it ends soon after.
    """

    def __init__(self, seconds: float) -> None:
        """``seconds`` is the time that a function has."""
        self._seconds, self._places, self._waiting = seconds, asyncio.Semaphore(THREADS), 0

    async def run(self, function: Callable[[], Any]) -> Any:
        """What the function returns or raises; ``Refusal`` where there is no place or no time for it."""
        if self._waiting >= WAITING:
            raise Refusal(429, f"{WAITING} requests are waiting; try again in a while")
        self._waiting += 1
        try:
            async with self._places:
                return await self._in_thread(function)
        finally:
            self._waiting -= 1

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Any] = loop.create_future()
        ended = asyncio.Event()

        def run() -> None:
            result: Any = None
            error: BaseException | None = None
            try:
                result = function()
            except (Exception, SystemExit) as own:  # SystemExit: nobody waits any more
                error = own
            with contextlib.suppress(RuntimeError):  # of a loop that is closed
                loop.call_soon_threadsafe(_settle, found, ended, result, error)

        thread = threading.Thread(target=run, name="backtime-predict", daemon=True)
        thread.start()
        try:
            async with asyncio.timeout(self._seconds):
                return await found
        except TimeoutError:
            seconds = f"{self._seconds:g} seconds"
            raise Refusal(
                413, f"the prediction takes more than {seconds}; send fewer or shorter records"
            ) from None
        finally:
            if not found.done() or found.cancelled():
                await _stop(thread, ended)


async def _stop(thread: threading.Thread, ended: asyncio.Event) -> None:
    """Its place is free when the thread has really ended."""
    while thread.is_alive() and not ended.is_set():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_OutOfTime)
        )
        await asyncio.sleep(0.05)


def _settle(
    found: "asyncio.Future[Any]", ended: asyncio.Event, result: Any, error: BaseException | None
) -> None:
    ended.set()
    if found.done():
        return
    if error is None:
        found.set_result(result)
    else:
        found.set_exception(error)
