"""Ctrl-C, SIGTERM, a terminal that closes: the first asks the loop to end well, a second ends it at once."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Notes the first signal in ``received``. What else it does is for the program to say:

    - ``held``, as at first: nothing. For what must not be cut in two: a lock and what frees it.
    - after ``release()``: KeyboardInterrupt. For a beginning: there is nothing to save, no reason to wait.
      It is held again then, so that cleaning up is not cut in two either.
    - ``patient``: the loop looks at ``received``; a second signal raises KeyboardInterrupt.

    A signal that this process was told to ignore stays ignored: SIGHUP under ``nohup``, SIGINT in the
    background of a script.
    """

    def __init__(self) -> None:
        """Held, nothing received."""
        self.held, self.patient = True, False
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        """Take the signals over."""
        if threading.current_thread() is threading.main_thread():  # Python tells no other thread
            wanted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._previous = {number: signal.signal(number, self._handle) for number in wanted}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def release(self) -> None:
        """No longer hold them; raises KeyboardInterrupt when one has come meanwhile."""
        self.held = False
        if self.received is not None:
            self._interrupt()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        first, self.received = self.received is None, self.received or number
        if not self.held and not (self.patient and first):
            self._interrupt()

    def _interrupt(self) -> None:
        self.held = not self.patient
        raise KeyboardInterrupt
