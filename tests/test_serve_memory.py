"""What the server keeps does not grow with what it has answered, whatever clients did."""

import contextlib
import gc
import itertools
import json
import time
import urllib.parse
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from serving import Running, classifier, post, running, text_model

TEXT, REVIEWS = "/v1/models/text-lstm", "/v1/models/reviews"
ROUNDS = 8  # of ten requests and more; a list, a future or a task that one of them leaves shows


def use(server: Running, rounds: int) -> None:
    """Everything that a client may do, well and badly."""
    with httpx.Client(base_url=server.url, timeout=20) as client:
        for n in range(rounds):
            client.post(f"{TEXT}/predict", json={"records": ["once upon", "a time"]})
            client.post(f"{REVIEWS}/predict", json={"records": ["good film"] * 3})
            client.post(f"{REVIEWS}/predict", json={"records": [n]})
            client.post(
                f"{REVIEWS}/predict-file?name=a.txt", content=b"good\nbad\n",
                headers={"Content-Type": "application/octet-stream"},
            )  # fmt: skip
            client.post(f"{TEXT}/sample", json={"length": 20, "seed": n})
            client.post(f"{TEXT}/stream", json={"length": 20, "stop": "e"})
            with client.stream("POST", f"{TEXT}/stream", json={"length": 100_000}) as left:
                next(left.iter_text())
            client.get(f"/v1/models/unknown-{n}")
            client.get(f"/unknown-{n}", headers={"X-Own": str(n)})
            client.get("/metrics")
            talk(server, n)
            server.raw(post(f"{TEXT}/predict", b"{"))
            server.raw(b"GET / HTTP/9.9\r\n\r\n")


def talk(server: Running, n: int) -> None:
    with connect(f"ws://127.0.0.1:{server.port}{TEXT}/session") as own:
        own.send(json.dumps({"read": "abc", "units": {"layer": 0}}))
        own.recv()
        own.send("{")
        own.recv()
        if n % 2:
            own.send(b"bytes end it")
            with contextlib.suppress(ConnectionClosed):
                own.recv()


def rest(server: Running) -> None:
    """Wait until the server has noticed that all its clients have gone."""
    for _ in range(400):
        text = server.server.models["text-lstm"]
        if not (server.listener.server_state.connections or text.streams or text.sessions):
            break
        time.sleep(0.02)
    time.sleep(0.1)
    urllib.parse.clear_cache()  # of the last 128 addresses
    gc.collect()


def objects() -> Counter[str]:
    return Counter(f"{type(own).__module__}.{type(own).__qualname__}" for own in gc.get_objects())


def growth(server: Running) -> dict[str, int]:
    """Objects of each type that ``ROUNDS`` rounds leave behind, and the next ones again.

    What happens once, a cache that is filled, shows in one of them; a leak shows in both.
    """
    found = [_after_use(server) for _ in range(3)]
    kinds = {name for own in found for name in own}
    more = {name: min(b[name] - a[name] for a, b in itertools.pairwise(found)) for name in kinds}
    return {name: own for name, own in more.items() if own >= ROUNDS}


def _after_use(server: Running) -> Counter[str]:
    use(server, ROUNDS)
    rest(server)
    return objects()


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with running([text_model(tmp_path), classifier(tmp_path)]) as own:
        yield own


@pytest.mark.slow
def test_nothing_grows_with_the_requests(server: Running) -> None:
    assert growth(server) == {}


@pytest.mark.slow
def test_a_leak_is_seen(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    model = server.server.models["text-lstm"]
    start = model.start
    monkeypatch.setattr(model, "start", lambda body: kept.append(start(body)) or kept[-1])
    assert growth(server)["backtime.serve.jobs.Writing"] >= ROUNDS
