"""What breaks rules gets a status from 400 to 499, and others are served as before."""

import random
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from serving import Running, classifier, complete, post, running, status, text_model

TEXT, REVIEWS = "/v1/models/text-lstm", "/v1/models/reviews"
BODIES: list[bytes] = [
    b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"records": "\xff"}', b'{"records": [NaN]}',
    b'{"records": [1e999]}', b'{"records": []}', b'{"records": [3]}', b'{"records": [[]]}',
    b'{"records": [{}]}', b'{"records": [null]}', b'{"records": [""]}', b'{"records": ["\\ud800"]}',
    b'{"records": ["A"], "more": 1}', b"[" * 100_000, b'{"records": ' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"records": [' + b"9" * 6000 + b"]}", b'{"prompt": 3}', b'{"length": 1.5}', b'{"length": -1}',
    b'{"length": 1000000000}', b'{"temperature": "hot"}', b'{"temperature": -1}',
    b'{"temperature": NaN}', b'{"top_p": 0}', b'{"top_k": -3}', b'{"seed": -1}', b'{"stop": ""}',
    b'{"out": "/tmp/x"}', b'{"prompt": "\xc3"}', b'{"greedy": 1}', b'{"prompt": "\\u0000"}',
]  # fmt: skip
HEADS: list[bytes] = [
    b"GET\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: example.org\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
    b"POST " + TEXT.encode() + b"/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"POST " + TEXT.encode() + b"/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET " + TEXT.encode() + b"/session HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\n\r\n",
    b"GET " + TEXT.encode() + b"/session HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
    b"DELETE /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/models/%00%ff/predict HTTP/1.1\r\nHost: localhost\r\n\r\n",
]


ADDRESSES = [f"{TEXT}/predict", f"{REVIEWS}/predict", f"{TEXT}/sample", f"{TEXT}/stream"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("hostile")
    with running([text_model(folder), classifier(folder)], request_seconds=0.7, body_megabytes=0.2) as own:
        yield own


@pytest.fixture(autouse=True)
def _others_are_served(server: Running) -> Iterator[None]:
    yield
    assert httpx.post(f"{server.url}{TEXT}/sample", json={"length": 5}).status_code == 200


@pytest.mark.parametrize("address", ADDRESSES)
def test_broken_bodies(server: Running, address: str) -> None:
    with httpx.Client(base_url=server.url) as client:
        for body in BODIES:
            if address.endswith(("sample", "stream")) == b"records" in body:
                continue
            found = client.post(address, content=body, headers={"Content-Type": "application/json"})
            assert 400 <= found.status_code < 500, (body[:80], found.text)
            assert len(found.json()["error"].splitlines()) == 1


@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
def test_broken_heads(server: Running, head: bytes) -> None:
    assert 400 <= status(server.raw(head)) < 500


@pytest.mark.slow
def test_mutations(server: Running) -> None:
    draw, good = random.Random(1), post(f"{TEXT}/predict", {"records": ["once upon", "a time"]})
    for _ in range(120):
        data = bytearray(good)
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        assert status(server.raw(bytes(data), seconds=2)) < 500


@pytest.mark.slow
def test_large_and_slow(server: Running) -> None:
    assert status(server.raw(post(f"{TEXT}/predict", b"x" * 1_000_000))) == 413
    endless = f"POST {TEXT}/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunks = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    assert status(server.raw(endless.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks * 20)) == 413
    assert status(server.raw(endless.encode() + b"Content-Length: 100\r\n\r\n{", seconds=5)) == 408
    assert status(server.raw(b"GET / HTTP/1.1\r\nHost: loc", seconds=5, finish=False)) == 408
    assert status(server.raw(b"", seconds=5, finish=False)) == 408


def test_many_slow_clients_stop_nobody(server: Running) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
    for own in slow:
        own.sendall(b"POST /v1/models/text-lstm/stream HTTP/1.1\r\nHost: lo")
    answer = server.raw(post(f"{TEXT}/sample", {"length": 20}))
    assert status(answer) == 200 and complete(answer)
    time.sleep(1)
    assert status(slow[-1].recv(100)) == 408
    for own in slow:
        own.close()


def test_wrong_frames(server: Running) -> None:
    head = (
        f"GET {TEXT}/session HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    mask = b"\0\0\0\0"
    for frame, code in (
        (b"\x81\x82" + mask + b"\xff\xff", 1007),  # text that is no UTF-8
        (b"\x82\x82" + mask + b"{}", 1003),  # bytes
        (b"\x81\x02{}", 1002),  # without a mask
        (b"\xf1\x82" + mask + b"{}", 1002),  # bits that mean nothing
        (b"\x81\xff" + b"\x7f" + b"\xff" * 7 + mask, 1009),  # of exabytes
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=3) as own:
            own.sendall(head)
            assert status(own.recv(4096)) == 101
            own.sendall(frame)
            assert code.to_bytes(2, "big") in own.recv(4096), code
