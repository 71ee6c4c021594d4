"""Logs: an object of JSON a line, on standard error."""

import json
import logging
import sys
import time
from typing import Any

LOGGER = logging.getLogger("backtime.serve")


class Lines(logging.Formatter):
    """A record as JSON: time, level, event, and what was said with it."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever is in it."""
        found: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "values", {}),
        }
        if record.exc_info:
            found["traceback"] = self.formatException(record.exc_info)
        return json.dumps(found, default=str)


def event(name: str, level: int = logging.INFO, **values: Any) -> None:
    """Log an event and its values."""
    LOGGER.log(level, name, extra={"values": values})


def _is_true(record: logging.LogRecord) -> bool:
    """Uvicorn says of each WebSocket that is refused in words that it was not: that is no news."""
    return "without completing handshake" not in record.getMessage()


def set_up(quiet: bool) -> None:
    """Our lines and the HTTP server's complaints go to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    handler.addFilter(_is_true)
    for name, level in (
        (LOGGER.name, logging.WARNING if quiet else logging.INFO),
        ("uvicorn", logging.ERROR),
    ):
        own = logging.getLogger(name)
        own.handlers, own.propagate = [handler], False
        own.setLevel(level)
