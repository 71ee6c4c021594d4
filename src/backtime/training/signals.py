"""Ctrl-C and SIGTERM: the first asks the loop to end well, the second ends it at once."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Notes the first signal in ``received`` when ``patient``; any other raises KeyboardInterrupt.

    ``patient`` is for the loop to set: before it runs there is nothing to save and no reason to wait.
    """

    def __init__(self) -> None:
        """Not patient, nothing received."""
        self.patient = False
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        """Take the signals over."""
        if (
            threading.current_thread() is threading.main_thread()
        ):  # Python delivers signals to no other thread
            self._previous = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.patient or self.received is not None:
            raise KeyboardInterrupt
        self.received = number
