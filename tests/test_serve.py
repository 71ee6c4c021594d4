"""``backtime serve``: predictions, texts, sessions, many at a time, limits, the token, and how it stops."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import backtime.tasks as tasks
from backtime import runtime
from backtime.runtime.model import Model
from backtime.runtime.sample import Sampler, draw_together
from backtime.serve.batcher import Batcher
from backtime.serve.messages import Message
from backtime.serve.session import Session
from serving import Running, classifier, post, running, status, text_model

TEXT, REVIEWS = "/v1/models/text-lstm", "/v1/models/reviews"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return runtime.load(text_model(folder))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    with running([text_model(folder), classifier(folder)]) as own:
        yield own


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20) as own:
        yield own


def socket(server: Running, **options: Any) -> Any:
    return connect(f"ws://127.0.0.1:{server.port}{TEXT}/session", **options)


def say(session: Any, **message: Any) -> Any:
    session.send(json.dumps(message))
    return json.loads(session.recv())


def events(answer: str) -> tuple[str, Any]:
    """The text of a stream, and what its end says."""
    text, end = "", None
    for block in answer.strip().split("\n\n"):
        name, data = block.startswith("event: end\n"), json.loads(block.partition("data: ")[2])
        if name:
            end = data
        else:
            text += data["text"]
    return text, end


def test_predictions_are_those_of_the_command_line(client: httpx.Client, folder: Path, model: Model) -> None:
    lines = ["once upon a time", "a"]
    found = client.post(f"{TEXT}/predict", json={"records": lines})
    assert found.json()["rows"] == list(model.predict(lines))
    reviews = ["good film", "bad"]
    expected = list(tasks.load(folder / "reviews.safetensors").predict(reviews))
    assert client.post(f"{REVIEWS}/predict", json={"records": reviews}).json()["rows"] == expected


def test_a_file_is_read_as_predict_reads_it(client: httpx.Client, folder: Path) -> None:
    kind = {"Content-Type": "application/octet-stream"}
    found = client.post(
        f"{REVIEWS}/predict-file?name=some.csv", content=b"text\ngood film\nbad\n", headers=kind
    )
    expected = list(tasks.load(folder / "reviews.safetensors").predict(["good film", "bad"]))
    assert found.json()["rows"] == expected
    broken = client.post(f"{REVIEWS}/predict-file?name=some.csv", content=b'text\n"x\n', headers=kind)
    assert broken.status_code == 400
    assert broken.json()["error"].startswith("some.csv line 2")
    other = client.post(f"{REVIEWS}/predict-file?name=a.npz", content=b"x", headers=kind)
    assert other.status_code == 400


@pytest.mark.parametrize("options", [{}, {"top_p": 0.5}, {"top_k": 3, "temperature": 0.5}, {"greedy": True}])
def test_a_text_is_the_one_that_sample_writes(client: httpx.Client, model: Model, options: Any) -> None:
    body = {"prompt": "once", "length": 50, "seed": 4, **options}
    expected = "".join(model.sample("once", length=50, seed=4, **options))
    assert client.post(f"{TEXT}/sample", json=body).json() == {
        "text": expected,
        "symbols": 50,
        "end": "length",
    }
    stream = client.post(f"{TEXT}/stream", json=body)
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert events(stream.text) == (expected, {"symbols": 50, "end": "length"})


def test_a_text_ends_at_its_stop_string(client: httpx.Client, model: Model) -> None:
    whole = "".join(model.sample(length=400, seed=1))
    stop = whole[100:102]
    found = client.post(f"{TEXT}/sample", json={"length": 400, "seed": 1, "stop": stop}).json()
    assert (found["text"], found["end"]) == (whole[: whole.index(stop)], "stop")


def test_a_long_text_waits_for_its_reader(client: httpx.Client, model: Model) -> None:
    with client.stream("POST", f"{TEXT}/stream", json={"length": 9000, "seed": 2}) as answer:
        text = "".join(answer.iter_text())
    assert events(text)[0] == "".join(model.sample(length=9000, seed=2))


def test_a_session_keeps_its_state(server: Running, model: Model) -> None:
    stream, text = model.stream(), "once upon"
    with socket(server) as own:
        for n, symbol in enumerate(text, 1):
            answer = say(own, read=symbol, units={"layer": 0, "numbers": [3, 0]}, top=29)
            logits = stream.step(int(model.vocabulary.encode(symbol)[0]))
            assert answer["steps"] == n
            assert answer["symbols"][0]["units"] == [round(float(stream.state[0][0, k]), 4) for k in (3, 0)]
            p = np.exp(logits - logits.max(), dtype=np.float64)
            p /= p.sum()
            assert dict(answer["next"]) == pytest.approx(
                dict(zip(model.vocabulary.symbols, p.tolist(), strict=True)), abs=1e-5
            )
        expected = "".join(model.sample(text, length=20, seed=7))
        first, second = say(own, write=8, seed=7), say(own, write=12)
        assert "".join(s["text"] for s in first["symbols"] + second["symbols"]) == expected
        assert say(own, reset=True, write=5, seed=9)["steps"] == 6  # the new line, and five
        assert say(own, reset=True)["steps"] == 0


def test_a_bad_message_changes_nothing(server: Running) -> None:
    with socket(server) as own, socket(server) as other:
        for good in (own, other):
            say(good, read="abc")
        for bad in ("{", "[]", '{"read": 3}', '{"read": "ABC"}', '{"tokens": [99]}', '{"write": -1}',
                    '{"top_p": NaN}',
                    '{"write": 1, "read": "a"}', '{"write": 1, "units": {"layer": 9}}', "[" * 50_000,
                    '{"write": 1, "temperature": 1e999}', '{"read": "\\ud800"}', '{"write": 1, "top_p": 2}',
                    '{"tokens": [1.5]}', '{"write": 1, "seed": 99999999999999999999999999}'):  # fmt: skip
            own.send(bad)
            assert set(json.loads(own.recv())) == {"error"}, bad
        assert say(own, write=9, seed=1) == say(other, write=9, seed=1)


def test_answers_do_not_depend_on_the_load(server: Running, model: Model) -> None:
    """Promise 2: forty clients at a time get, bit for bit, what each would get alone."""
    expected = {n: "".join(model.sample("abc"[: n % 4], length=150, seed=n)) for n in range(24)}
    lines = [f"{'the quick fox '[n:]} jumps" for n in range(8)]
    rows = [{**row, "line": 1} for row in model.predict(lines)]
    alone = [np.array(_session_logits(model, line)) for line in lines]

    async def texts(client: httpx.AsyncClient, n: int) -> None:
        body = {"prompt": "abc"[: n % 4], "length": 150, "seed": n}
        assert events((await client.post(f"{TEXT}/stream", json=body)).text)[0] == expected[n]

    async def line(client: httpx.AsyncClient, n: int) -> None:
        assert (await client.post(f"{TEXT}/predict", json={"records": [lines[n]]})).json()["rows"] == [
            rows[n]
        ]

    async def session(n: int) -> None:
        own = Session(server.server.models["text-lstm"].model, server.server.models["text-lstm"].batcher)
        for symbol in lines[n]:
            await own.answer(Message(read=symbol))
        assert (own.logits == alone[n]).all()
        own.close()

    async def load() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            await asyncio.gather(*(texts(client, n) for n in range(24)), *(line(client, n) for n in range(8)))

    server_loop = server.listener.loop
    sessions = [asyncio.run_coroutine_threadsafe(session(n), server_loop) for n in range(8)]
    asyncio.run(load())
    for own in sessions:
        own.result(10)
    rows_of_ticks = httpx.get(f"{server.url}/metrics").text
    assert 'backtime_tick_rows_bucket{le="1.0",model="text-lstm"}' in rows_of_ticks


def _session_logits(model: Model, text: str) -> Any:
    stream = model.stream()
    return [stream.step(token) for token in model.vocabulary.encode(text).tolist()][-1]


@pytest.mark.parametrize("deep", [{}, {"output_layers": 1}, {"skip_connections": True}], ids=str)
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_row_does_not_depend_on_its_neighbours(
    cell: str, deep: dict[str, Any], tmp_path: Path, backend: str
) -> None:
    """Sessions of different lengths that begin and end while others go on."""
    own = runtime.load(text_model(tmp_path, cell, layers=2, embedding=5, **deep), backend)

    async def run(size: int) -> dict[int, Any]:
        batcher = Batcher(own.stack, 7, lambda *_: None)
        ticking = asyncio.create_task(batcher.run())
        found: dict[int, Any] = {}

        async def one(n: int) -> None:
            session = Session(own, batcher)
            await session.answer(Message(tokens=[n % 27] * (1 + n % 5)))
            await session.answer(Message(write=3 + n % 7, seed=n))
            found[n] = session.logits
            session.close()

        for first in range(0, 24, size):
            await asyncio.gather(*(one(n) for n in range(first, first + size)))
        ticking.cancel()
        return found

    alone, together = asyncio.run(run(1)), asyncio.run(run(24))
    assert all((alone[n] == together[n]).all() for n in range(24))


def test_samplers_draw_together_what_each_draws_alone() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (60, 9, 31)).astype(np.float32)
    options: list[Any] = [
        {},
        {"temperature": 0.3},
        {"top_p": 0.4},
        {"top_k": 2},
        {"greedy": True},
        {},
        {},
        {},
        {},
    ]
    alone, together = ([Sampler(31, seed=n, **own) for n, own in enumerate(options)] for _ in range(2))
    for z in logits:
        assert draw_together(together, z) == [own.draw(row) for own, row in zip(alone, z, strict=True)]
        for own, row in zip(alone, z, strict=True):
            assert own.probabilities(row).sum() == pytest.approx(1)
    z[1], z[3] = np.nan, np.inf
    drawn = draw_together(together, z)
    assert [n for n, symbol in enumerate(drawn) if symbol < 0] == [1, 3]


def test_metrics_health_and_openapi(client: httpx.Client, server: Running) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert [own["task"] for own in client.get("/v1/models").json()["models"]] == ["language", "classify"]
    client.get("/v1/models/no-such-model")
    text = client.get("/metrics").text
    assert 'backtime_requests_total{route="/v1/models/{model}",status="404"}' in text
    document = client.get("/openapi.json").json()
    own = {route.path for route in server.server.router.routes} - {"/", "/page/{file}", "/favicon.ico"}
    assert set(document["paths"]) == own
    names = set(document["components"]["schemas"])
    assert {part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]} <= names
    assert document["components"]["schemas"]["Text"]["properties"]["top_p"]["type"] == "number"


def test_the_page_needs_nothing_from_outside(client: httpx.Client) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for name in ("page.css", "page.js", "colours.js"):
        part = client.get(f"/page/{name}")
        assert part.status_code == 200 and "http://" not in part.text.replace("http://www.w3.org", "")
    assert client.get("/page/..%2fapp.py").status_code == 404


def test_a_token_opens(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef\n")
    with running([text_model(folder)], token_file=str(secret)) as server:
        address, right = f"{server.url}/v1/models", {"Authorization": "Bearer 0123456789abcdef"}
        assert httpx.get(address).status_code == 401
        assert httpx.get(address, headers={"Authorization": "Bearer 0123456789abcdeg"}).status_code == 401
        assert httpx.get(address, headers={"Authorization": b"Bearer \xff"}).status_code == 401
        assert httpx.get(address, headers=right).status_code == 200
        assert (
            httpx.get(f"{server.url}/").status_code == httpx.get(f"{server.url}/healthz").status_code == 200
        )
        with pytest.raises(InvalidStatus, match="401"), socket(server):
            pass
        with socket(server, subprotocols=["token.0123456789abcdef"]) as own:
            assert say(own, read="a")["steps"] == 1


def test_other_sites_are_refused(client: httpx.Client, server: Running) -> None:
    assert client.get("/v1/models", headers={"Origin": "http://example.org"}).status_code == 403
    assert client.get("/v1/models", headers={"Host": "example.org"}).status_code == 421
    assert client.get("/v1/models", headers={"Origin": server.url}).status_code == 200
    with pytest.raises(InvalidStatus, match="403"), socket(server, origin="http://example.org"):
        pass


def test_limits(folder: Path) -> None:
    limits = {"most_sessions": 2, "idle_seconds": 0.3, "message_kilobytes": 1.0, "most_streams": 1}
    with running([text_model(folder)], body_megabytes=0.01, most_symbols=100_000, **limits) as server:
        assert status(server.raw(post(f"{TEXT}/predict", b"x" * 20_000))) == 413
        stack = contextlib.ExitStack()
        first, second = (stack.enter_context(socket(server)) for _ in range(2))
        with pytest.raises(InvalidStatus, match="429"), socket(server):
            pass
        with pytest.raises(ConnectionClosed, match="1009"):
            first.send("x" * 5000)
            first.recv()
        with pytest.raises(ConnectionClosed, match="idle"):
            second.recv()
        stack.close()
        with httpx.stream("POST", f"{server.url}{TEXT}/stream", json={"length": 100_000}) as busy:
            assert busy.status_code == 200
            assert httpx.post(f"{server.url}{TEXT}/sample", json={"length": 5}).status_code == 429
        for _ in range(100):  # the client has gone: its place is free again
            if httpx.post(f"{server.url}{TEXT}/sample", json={"length": 5}).status_code == 200:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("the place of a client that has gone is not free")
        with socket(server) as own:
            assert say(own, read="a")["steps"] == 1


def test_stops_when_what_was_begun_is_done(folder: Path, model: Model) -> None:
    with running([text_model(folder)]) as server:
        body = {"length": 20_000, "seed": 1}  # more than fits on the way to a client that does not read
        with httpx.stream("POST", f"{server.url}{TEXT}/stream", json=body, timeout=60) as begun:
            server.stop()
            refused = httpx.post(f"{server.url}{TEXT}/sample", json={"length": 5})
            assert refused.status_code == 503 and refused.headers["retry-after"]
            assert httpx.get(f"{server.url}/healthz").status_code == 503
            with pytest.raises(InvalidStatus, match="503"), socket(server):
                pass
            text = "".join(begun.iter_text())
        assert events(text)[0] == "".join(model.sample(length=20_000, seed=1))
        server.thread.join(10)
        assert not server.thread.is_alive()
