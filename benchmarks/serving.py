"""``backtime serve`` under load: 100 texts at a time, sessions, memory; beside it a plain PyTorch server."""

import asyncio
import contextlib
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from websockets.asyncio.client import connect

from backtime.data.text.vocabulary import Vocabulary
from backtime.models.config import LanguageConfig
from backtime.models.file import ModelFile, write_model
from backtime.runtime import load
from benchmarks import common

CLIENTS, SESSIONS = 100, 20
SYMBOLS = [chr(n) for n in range(48, 113)]  # 65 of them
HEAD = ["LSTM 1 x 128, V = 65", "backtime serve", "PyTorch, 40 lines"]
NOTES = """\
{clients} clients read texts as server-sent events at the same time for {seconds:g} s, then {sessions}
sessions over WebSocket send one symbol, wait for its answer, and send the next, {seconds:g} s more.
Clients, server and all else share the two cores. The bare `sample` is one text in a process of its own,
before and after: {bare:,.0f} characters a second, of which {clients} clients get {share:.0%} together
from backtime. The memory is the server's resident set while the texts go on for {minutes:g} min:
{memory}. The PyTorch server is `benchmarks/extra/torch_server.py`."""


def make_model(path: Path) -> None:
    config, random = LanguageConfig("lstm", 128, 1, len(SYMBOLS)), np.random.default_rng(1)
    tensors = {n: random.uniform(-0.09, 0.09, s).astype(np.float32) for n, s in config.shapes().items()}
    write_model(
        path, ModelFile("language", config, {"vocabulary": Vocabulary("char", SYMBOLS).to_json()}, tensors)
    )


@contextlib.contextmanager
def started(command: list[str], port: int) -> Iterator[int]:
    """A server in a process of its own; gives its number."""
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(300):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            yield process.pid
        finally:
            process.kill()


async def read_texts(port: int, path: str, seconds: float) -> list[int]:
    """Characters that each client has received when the time is over."""
    counts = [0] * CLIENTS

    async def client(n: int) -> None:
        for seed in itertools.count(n):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            body = json.dumps({"length": 100_000, "seed": seed}).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            async for line in reader:
                if line.startswith(b'data: {"text"'):
                    counts[n] += len(json.loads(line[6:])["text"])
            writer.close()

    tasks = [asyncio.create_task(client(n)) for n in range(CLIENTS)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return counts


async def step_sessions(port: int, path: str, seconds: float) -> list[float]:
    """Seconds of each step of all sessions."""
    found: list[float] = []
    end = time.perf_counter() + seconds

    async def session() -> None:
        async with connect(f"ws://127.0.0.1:{port}{path}", compression=None) as own:
            while (start := time.perf_counter()) < end:
                await own.send('{"tokens": [7], "top": 5}')
                await own.recv()
                found.append(time.perf_counter() - start)

    await asyncio.gather(*(session() for _ in range(SESSIONS)))
    return found


def measure(command: list[str], port: int, paths: tuple[str, str], seconds: float) -> dict[str, float]:
    with started(command, port):
        asyncio.run(read_texts(port, paths[0], 1))  # warm
        counts = asyncio.run(read_texts(port, paths[0], seconds))
        times = np.array(asyncio.run(step_sessions(port, paths[1], seconds))) * 1e3
    return {
        "characters a second, together": sum(counts) / seconds,
        "slowest client over the mean": min(counts) * CLIENTS / max(1, sum(counts)),
        "step of a session, median, ms": float(np.median(times)),
        "step of a session, 99 of 100 below, ms": float(np.percentile(times, 99)),
        "steps of sessions a second": len(times) / seconds,
    }


def bare_sample(path: Path) -> float:
    """Characters a second."""
    start = time.perf_counter()
    return sum(map(len, load(path).sample(length=300_000))) / (time.perf_counter() - start)


def memory_under_load(command: list[str], port: int, path: str, minutes: float) -> str:
    """Resident megabytes, looked at five times."""
    found = []
    with started(command, port) as pid:
        for _ in range(6):
            asyncio.run(read_texts(port, path, minutes * 10))
            status = Path(f"/proc/{pid}/status").read_text()
            found.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
    return ", ".join(f"{megabytes:.0f}" for megabytes in found) + " MB"


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--minutes", type=float, default=2.0, help="of the load while memory is looked at")
    args = options.parse_args()
    seconds = args.seconds or (2.0 if args.quick else 15.0)
    minutes = 0.2 if args.quick else args.minutes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        make_model(path)
        speeds = [bare_sample(path)]
        serve = [sys.executable, "-m", "backtime", "serve", str(path), "--quiet", "--port"]
        own = "/v1/models/model/stream", "/v1/models/model/session"
        ours = measure([*serve, "8471"], 8471, own, seconds)
        speeds.append(bare_sample(path))
        torch = [sys.executable, "-m", "benchmarks.extra.torch_server", str(path), "8472"]
        theirs = measure(torch, 8472, ("/stream", "/session"), seconds)
        memory = memory_under_load([*serve, "8473"], 8473, own[0], minutes)
    rows = [[name, f"{ours[name]:,.4g}", f"{theirs[name]:,.4g}"] for name in ours]
    bare = sum(speeds) / 2
    share = ours["characters a second, together"] / bare
    said = {
        "clients": CLIENTS,
        "sessions": SESSIONS,
        "seconds": seconds,
        "minutes": minutes,
        "memory": memory,
    }
    notes = NOTES.format(bare=bare, share=share, **said)
    common.report("Serving", notes, common.table(HEAD, rows), args.write)


if __name__ == "__main__":
    main()
