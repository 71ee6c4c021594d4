"""A server in a thread, models without training, and requests of raw bytes: what the tests of serve share."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from backtime.data.text.vocabulary import Vocabulary
from backtime.models.config import LanguageConfig
from backtime.models.file import ModelFile, write_model
from backtime.models.reader_config import ReaderConfig
from backtime.serve.app import Server
from backtime.serve.listen import Listener
from backtime.serve.load import load_all
from backtime.serve.metrics import Metrics
from backtime.serve.settings import ServeSettings
from backtime.serve.worker import Worker

LETTERS = "\n abcdefghijklmnopqrstuvwxyz"


def random_tensors(config: Any) -> dict[str, Any]:
    random = np.random.default_rng(1)
    return {name: random.normal(0, 0.6, shape).astype(np.float32) for name, shape in config.shapes().items()}


def text_model(folder: Path, cell: str = "lstm", layers: int = 1, embedding: int = 0, **options: Any) -> Path:
    config = LanguageConfig(cell, 16, layers, len(LETTERS), embedding_size=embedding, **options)
    encoding = {"vocabulary": Vocabulary("char", sorted(LETTERS)).to_json()}
    path = folder / f"text-{cell}.safetensors"
    write_model(path, ModelFile("language", config, encoding, random_tensors(config)))
    return path


def classifier(folder: Path) -> Path:
    words = ["<unk>", "good", "bad", "film"]
    config = ReaderConfig(
        cell="gru", hidden_size=8, layers=1, classes=2, symbols=len(words), embedding_size=4
    )
    reading = {"text": "text", "label": "label", "series": "series", "steps": "rows", "level": "word"}
    encoding = {
        "labels": {"kind": "label", "symbols": ["no", "yes"], "open": False},
        "symbols": {"kind": "word", "symbols": words, "open": True},
        "reading": reading,
        "level": {"level": "word"},
    }
    path = folder / "reviews.safetensors"
    write_model(path, ModelFile("classify", config, encoding, random_tensors(config)))
    return path


class Running:
    """A server on a free port."""

    def __init__(self, paths: list[Path], settings: ServeSettings) -> None:
        self.paths, self.settings = paths, settings
        self.ready, self.port = threading.Event(), 0
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        metrics = Metrics()
        models = load_all(self.paths, Worker(self.settings.work_seconds), self.settings, metrics)
        self.server = Server(models, self.settings, metrics)
        self.listener = Listener(self.server, self._listening)
        await self.listener.serve()

    def _listening(self, host: str, port: int) -> None:
        self.port = port
        self.ready.set()

    def stop(self) -> None:
        self.listener.handle_exit(15, None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def raw(self, data: bytes, seconds: float = 5.0, finish: bool = True) -> bytes:
        """What the server answers to these bytes until it closes or is silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as own:
            with contextlib.suppress(OSError):
                own.sendall(data)
            found = b""
            with contextlib.suppress(OSError):
                while part := own.recv(65536):
                    found += part
                    if finish and complete(found):
                        break
        return found


def complete(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end and lengths and len(body) >= int(lengths[0].split(b":")[1]))


@contextlib.contextmanager
def running(paths: list[Path], **settings: Any) -> Iterator[Running]:
    own = Running(paths, ServeSettings(port=0, **settings))
    own.thread.start()
    assert own.ready.wait(20)
    try:
        yield own
    finally:
        own.listener.handle_exit(15, None)
        own.listener.handle_exit(15, None)
        own.thread.join(10)
        assert not own.thread.is_alive()


def post(path: str, body: Any, kind: str = "application/json", more: str = "") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{more}"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0
