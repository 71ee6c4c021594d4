"""From paths of models to a server that runs until it is told to stop."""

import asyncio
import logging
import socket
import warnings
from collections.abc import Sequence
from pathlib import Path

from backtime.errors import DataWarning, UsageError
from backtime.serve.app import Server
from backtime.serve.guard import LOOPBACK
from backtime.serve.listen import Listener
from backtime.serve.load import load_all
from backtime.serve.logs import event, set_up
from backtime.serve.metrics import Metrics
from backtime.serve.settings import ServeSettings
from backtime.serve.worker import Worker


def serve(paths: Sequence[Path], settings: ServeSettings, quiet: bool = False) -> None:
    """Load the models and serve them; raises ``UsageError`` where one is none, or the port is taken."""
    _check_address(settings)
    set_up(quiet)
    warnings.simplefilter("ignore", DataWarning)  # of a prompt with unknown words: not for the log
    asyncio.run(_serve(paths, settings))


async def _serve(paths: Sequence[Path], settings: ServeSettings) -> None:
    metrics = Metrics()
    models = load_all(paths, Worker(settings.work_seconds), settings, metrics)
    if settings.host not in LOOPBACK and settings.token_file is None:
        event("anyone who reaches this address may use the models", logging.WARNING, host=settings.host)
    await Listener(Server(models, settings, metrics)).serve()


def _check_address(settings: ServeSettings) -> None:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], found[1]) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            own.bind(found[4])
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot listen on {settings.host} port {settings.port}: {error}") from error
