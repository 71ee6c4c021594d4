"""Every task's records over HTTP: the predictor's rows, alone and together; wrong records get 400."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from scipy.io import wavfile

import backtime.tasks as tasks
from backtime.cli.main import main
from backtime.data.audio import Utterance
from backtime.data.pianoroll import Roll
from backtime.runtime.predictor import GroupPredictor
from serving import Running, running

SMALL = ["--max-steps", "1", "--hidden-size", "4", "--quiet", "--batch-size", "2"]
SERIES = [f"2024-01-{n:02}" for n in range(1, 31)]


def tag(folder: Path) -> tuple[Path, list[str]]:
    path = folder / "a.conll"
    path.write_text("the D\ncat N\n\na D\ndog N\n\n" * 10)
    return path, ["--validation-fraction", "0.2"]


def recommend(folder: Path) -> tuple[Path, list[str]]:
    path = folder / "a.csv"
    path.write_text(
        "session,item,time\n" + "".join(f"s{n},{'abc'[n % 3]},{n}\ns{n},d,{n + 1}\n" for n in range(40))
    )
    return path, []


def translate(folder: Path) -> tuple[Path, list[str]]:
    path = folder / "a.tsv"
    path.write_text("the cat\tle chat\na dog\tun chien\n" * 20)
    return path, []


def forecast(folder: Path) -> tuple[Path, list[str]]:
    path = folder / "a.csv"
    path.write_text("date,value\n" + "".join(f"{day},{n % 7}\n" for n, day in enumerate(SERIES)))
    return path, ["--lookback", "5", "--horizon", "2"]


def music(folder: Path) -> tuple[Path, list[str]]:
    path, frames = folder / "a.npz", np.zeros((12, 88), np.float32)
    frames[:, 39] = 1
    np.savez(path, train_1=frames, train_2=frames, valid_1=frames)
    return path, []


def transcribe(folder: Path) -> tuple[Path, list[str]]:
    lines = ["file\ttext\n"]
    for n in range(6):
        samples = np.sin(np.arange(4000) * (n + 1) / 20)
        wavfile.write(folder / f"{n}.wav", 8000, (samples * 20000).astype(np.int16))
        lines.append(f"{n}.wav\tab\n")
    path = folder / "a.tsv"
    path.write_text("".join(lines))
    return path, []


def classify(folder: Path) -> tuple[Path, list[str]]:
    path = folder / "a.csv"
    path.write_text("label,1,2,3\n" + "".join(f"{'ab'[n % 2]},{n},{n % 3},1\n" for n in range(20)))
    return path, ["--validation-fraction", "0"]


def regress(folder: Path) -> tuple[Path, list[str]]:
    path = folder / "a.csv"
    path.write_text("target,1,2,3\n" + "".join(f"{n},{n},{n % 3},1\n" for n in range(20)))
    return path, ["--validation-fraction", "0"]


def similar(folder: Path) -> tuple[Path, list[str]]:
    path = folder / "a.tsv"
    path.write_text("".join(f"go on {n}\tcontinue {n}\n" for n in range(10)))
    return path, ["--validation-fraction", "0"]


def caption(folder: Path) -> tuple[Path, list[str]]:
    path = folder / "a.npz"
    images = np.arange(8 * 16, dtype=np.uint8).reshape(8, 4, 4)
    np.savez(path, images=images, texts=np.array(["one two", "three"] * 4))
    return path, ["--filters", "2", "--blocks", "1", "--min-count", "1", "--validation-fraction", "0"]


def _arrays(records: list[Any]) -> Callable[[Any], list[Any]]:
    return lambda _: [np.array(one, np.float64) for one in records]


def _roll(predictor: Any) -> list[Any]:
    frames = np.zeros((3, 88), np.float32)
    frames[0, 39] = frames[2, 39] = frames[2, 43] = 1
    return [Roll("1", frames)]


def _sound(predictor: Any) -> list[Any]:
    return [Utterance(predictor.hearing.steps(np.array(SAMPLES, np.float32)), "", "1")]


def _table(predictor: Any) -> list[Any]:
    path = Path("sent.csv")
    path.write_text("date,value\n" + "".join(f"{row['date']},{row['value']}\n" for row in ROWS))
    return list(predictor.read(path))


SAMPLES = [round(float(np.sin(n / 9)), 3) for n in range(4000)]
ROWS = [{"date": day, "value": n % 5} for n, day in enumerate(SERIES)]
STEPS = [[[1.0], [2.0], [3.5]], [[4.0]]]
PIXELS = [[float(4 * r + c) for c in range(4)] for r in range(4)]
Make = Callable[[Path], tuple[Path, list[str]]]
CASES: list[tuple[Make, list[Any], Callable[[Any], list[Any]] | None, list[Any]]] = [
    (tag, ["the dog", ["a", "cat"]], lambda _: ["the dog", ["a", "cat"]], [3, [], [4], "", None]),
    (recommend, [["a", "d"]], None, ["a", [], [1], {}]),
    (translate, ["the dog"], None, ["", 3, ["a"]]),
    (forecast, ROWS, _table, [3, {}, {"date": [], "value": 1}, {"date": "x\ny", "value": 1}, {"date": 1}]),
    (music, [[["C4"], [], [60, "E4"]]], _roll, ["x", [], [["H9"]], [[0]], [[True]], [[None]], [3]]),
    (classify, STEPS, _arrays(STEPS), ["x", [], [1], [[1, 2]], [["a"]], [[None]]]),
    (regress, STEPS, _arrays(STEPS), ["x", [], [[1, 2]], [[1e300]]]),
    (similar, [["go on 1", "continue 1"]], None, ["go on", ["a"], ["a", 3], ["", "b"], [], None]),
    (
        caption,
        [PIXELS],
        _arrays([PIXELS]),
        ["x", [], [[1, 2], [3]], [[1, 2], [3, 4]], [["a"]], None, [[None]]],
    ),
    (transcribe, [SAMPLES], _sound, ["x", [], [2], ["a"], [None], [1e300]]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("make", "good", "as_read", "bad"), CASES, ids=[case[0].__name__ for case in CASES])
def test_records(
    make: Make, good: Any, as_read: Any, bad: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data, options = make(tmp_path)
    assert main(["train", str(data), "--task", make.__name__, "--out", "run", *SMALL, *options]) == 0
    predictor = tasks.load(tmp_path / "run")
    assert isinstance(predictor, GroupPredictor)
    expected = list(predictor.predict(as_read(predictor) if as_read else good))
    with running([tmp_path / "run"]) as server:
        address = f"{server.url}/v1/models/run/predict"
        assert httpx.post(address, json={"records": good}, timeout=30).json() == {"rows": expected}
        for record in bad:
            found = httpx.post(address, json={"records": [record]}, timeout=30)
            assert found.status_code == 400, (record, found.text)
        assert httpx.post(f"{server.url}/v1/models/run/stream", json={}).status_code == 404
        monkeypatch.setattr("backtime.serve.group.COMPANY", 0.3)  # on a busy machine too all have come then
        requests = [{"records": own} for own in varied(make.__name__, good)]
        asyncio.run(compare_company(server, address, requests, {"records": bad[:1]}))


def varied(task: str, good: list[Any]) -> list[list[Any]]:
    """Records of other lengths and other contents, a request each."""
    if task == "forecast":
        return [[{**row, "value": (row["value"] * k + k) % 11} for row in good] for k in range(1, 13)]
    if task in ("similar", "caption"):
        cut = [[own] * k for k in range(1, 4) for own in good]
        scaled = [[[[[v * k for v in row] for row in own] for own in good] for k in range(2, 11)]]
        return [*cut, *(scaled[0] if task == "caption" else [[["go on", "on " * k]] for k in range(1, 10)])]
    return [[own[: len(own) - k] or own] for own in good for k in range(6)] + [good] * 6


async def compare_company(server: Running, address: str, requests: list[Any], bad: Any) -> None:
    """Each answer alone is, to the bit, that of all requests at a time, with bad ones between them."""
    async with httpx.AsyncClient(timeout=60) as client:
        alone = [(await client.post(address, json=own)).text for own in requests]
        calls = _calls(server)
        mixed = [own for request in requests for own in (request, bad)]
        together = await asyncio.gather(*(client.post(address, json=own) for own in mixed))
    assert [own.text for own in together[::2]] == alone
    assert {own.status_code for own in together[1::2]} == {400}
    assert _calls(server) - calls <= len(requests) // 2  # of the engine: several requests each


def _calls(server: Running) -> int:
    """How many groups of records a model has answered."""
    text = httpx.get(f"{server.url}/metrics").text
    found = re.search(r'backtime_group_records_count{model="run"} (.*)', text)
    return int(float(found[1])) if found else 0
