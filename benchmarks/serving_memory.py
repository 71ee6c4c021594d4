"""The resident set of ``backtime serve`` by the minute, while clients come, ask, fail and go."""

import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from websockets.asyncio.client import connect

from backtime.models.file import ModelFile, write_model
from backtime.models.reader_config import ReaderConfig
from benchmarks import common
from benchmarks.serving import make_model, started

PORT, TEXTS, SESSIONS, PREDICTORS = 8474, 12, 4, 4
NOTES = """\
{minutes:g} minutes of load at {rate:.0f} requests a second, {requests:,} in all: {texts} clients read texts
of 1 to 600 symbols (a quarter of them leave early), {sessions} hold sessions of 50 messages, {predictors}
have lines scored, have records classified, or send what is refused.
The resident set grows by {growth:.2f} MB from minute {half} to minute {last}."""


def make_classifier(path: Path) -> Path:
    words, random = ["<unk>", "good", "bad", "film"], np.random.default_rng(1)
    config = ReaderConfig(
        cell="gru", hidden_size=64, layers=1, classes=2, symbols=len(words), embedding_size=16
    )
    encoding = {
        "labels": {"kind": "label", "symbols": ["no", "yes"], "open": False},
        "symbols": {"kind": "word", "symbols": words, "open": True},
        "reading": {"text": "text", "label": "label", "series": "series", "steps": "rows", "level": "word"},
        "level": {"level": "word"},
    }
    tensors = {n: random.normal(0, 0.6, s).astype(np.float32) for n, s in config.shapes().items()}
    write_model(path, ModelFile("classify", config, encoding, tensors))
    return path


def resident(pid: int) -> float:
    """Megabytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


class Load:
    """Clients of one server, until ``end``."""

    def __init__(self, end: float) -> None:
        """``end`` is of ``time.monotonic``."""
        self.end, self.requests = end, 0
        self.draw = random.Random(1)

    @property
    def on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.end

    async def post(self, verb: str, body: object, leave: int = 0) -> None:
        """One request; with ``leave`` its client goes after so many lines."""
        self.requests += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        data = json.dumps(body).encode()
        head = (
            f"POST /v1/models/model/{verb} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        )
        writer.write(f"{head}Connection: close\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        lines = 0
        async for _ in reader:
            lines += 1
            if lines == leave:
                break
        writer.close()

    async def texts(self, n: int) -> None:
        """One text after the other."""
        for seed in itertools.count(n, 1000):
            if not self.on:
                return
            body = {"length": self.draw.randint(1, 600), "seed": seed, "prompt": "ABC"[: seed % 4]}
            await self.post("model/stream", body, leave=12 if self.draw.random() < 0.25 else 0)
            await asyncio.sleep(0.05)

    async def session(self) -> None:
        """One session after the other."""
        while self.on:
            self.requests += 1
            address = f"ws://127.0.0.1:{PORT}/v1/models/model/session"
            async with connect(address, compression=None) as own:
                for _ in range(50):
                    await own.send('{"tokens": [7], "top": 5, "units": {"layer": 0}}')
                    await own.recv()
                    await asyncio.sleep(0.02)

    async def predictions(self) -> None:
        """Lines, what is refused, and records of the classifier."""
        while self.on:
            await self.post("model/predict", {"records": ["ABC" * self.draw.randint(1, 30)] * 3})
            await self.post("model/predict", {"records": [self.draw.random()]})  # 400
            await self.post("labels/predict", {"records": ["good film " * self.draw.randint(1, 60)] * 3})
            await asyncio.sleep(0.05)

    async def all(self) -> None:
        """All clients at a time."""
        clients = [self.texts(n) for n in range(TEXTS)]
        others = [self.session() for _ in range(SESSIONS)] + [self.predictions() for _ in range(PREDICTORS)]
        await asyncio.gather(*clients, *others)


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--minutes", type=int, default=10)
    args = options.parse_args()
    minutes = 1 if args.quick else args.minutes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        make_model(path)
        paths = [str(path), str(make_classifier(Path(folder) / "labels.safetensors"))]
        command = [sys.executable, "-m", "backtime", "serve", *paths, "--quiet", "--port", str(PORT)]
        with started(command, PORT) as pid:
            found, requests = [resident(pid)], 0
            for minute in range(1, minutes + 1):
                load = Load(time.monotonic() + 60)
                asyncio.run(load.all())
                requests += load.requests
                found.append(resident(pid))
                print(f"minute {minute}: {found[-1]:.2f} MB, {requests:,} requests", flush=True)
    half = minutes // 2
    said = {"minutes": minutes, "rate": requests / (60 * minutes), "requests": requests, "last": minutes}
    sizes = {"texts": TEXTS, "sessions": SESSIONS, "predictors": PREDICTORS, "half": half}
    notes = NOTES.format(growth=found[-1] - found[half], **said, **sizes)
    rows = [["resident set, MB", *(f"{own:.2f}" for own in found)]]
    common.report(
        "Serving for minutes",
        notes,
        common.table(["minute", *map(str, range(minutes + 1))], rows),
        args.write,
    )


if __name__ == "__main__":
    main()
