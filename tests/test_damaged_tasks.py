"""Runs and models of every task but language, damaged in every place: one line, or a run that goes on."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile

from backtime.cli.main import main
from backtime.tasks import TASKS, runs
from test_damaged_folders import damages, ends_well, head_of, write_head

SMALL = "--hidden-size 4 --batch-size 4 --max-steps 3 --save-every 3 --log-every 2 --validation-fraction 0.2"


class Sample(NamedTuple):
    """Tiny data of a task: the file, how it is written, and the options of a short run."""

    file: str
    write: Callable[[Path], Any]
    options: str = ""


def _reviews(path: Path) -> None:
    rows = [f"a {word} film {n},{word}" for n in range(8) for word in ("good", "bad")]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")


def _lengths(path: Path) -> None:
    rows = [f"{'word ' * (1 + n % 4)},{n % 4}" for n in range(12)]
    path.write_text("text,target\n" + "\n".join(rows) + "\n")


def _load(path: Path) -> None:
    rows = [f"2020-01-{d:02d},{d % 7}" for d in range(1, 31)]
    path.write_text("time,load\n" + "\n".join(rows) + "\n")


def _rolls(path: Path) -> None:
    roll = np.zeros((12, 88), np.uint8)
    roll[np.arange(12), 40 + np.arange(12)] = 1
    np.savez(path, **{f"piece{n}": roll for n in range(5)})


def _clicks(path: Path) -> None:
    rows = [f"s{n},{item},{n * 10 + k}" for n in range(8) for k, item in enumerate("abcb"[: 2 + n % 3])]
    path.write_text("session,item,time\n" + "\n".join(rows) + "\n")


def _pairs(path: Path) -> None:
    path.write_text("go on\tva\nrun now\tcours vite\nstay\treste\n" * 8)


def _alike(path: Path) -> None:
    rows = [f"go on {n}\tcontinue {n}\t{n % 2}" for n in range(10)]
    path.write_text("\n".join(rows) + "\n")


def _shown(path: Path) -> None:
    images = np.arange(8 * 16, dtype=np.uint8).reshape(8, 4, 4)
    np.savez(path, images=images, texts=np.array(["one two", "three"] * 4))


def _sound(path: Path) -> None:
    for name in "ab":
        soundfile.write(path.with_name(f"{name}.wav"), np.sin(np.arange(1600)), 8000)
    path.write_text("file\ttext\n" + "a.wav\tab\nb.wav\tba\n" * 3)


SAMPLES = {
    "transcribe": Sample("sound.tsv", _sound, "--layers 1"),
    "translate": Sample("pairs.tsv", _pairs, "--embedding-size 3 --attention --validation-fraction 0"),
    "caption": Sample(
        "shown.npz",
        _shown,
        "--embedding-size 3 --filters 2 --blocks 1 --attention --min-count 1 --validation-fraction 0",
    ),
    "recommend": Sample("clicks.csv", _clicks, "--embedding-size 3"),
    "classify": Sample("reviews.csv", _reviews, "--embedding-size 3"),
    "regress": Sample("lengths.csv", _lengths, "--embedding-size 3"),
    "tag": Sample(
        "words.txt",
        lambda path: path.write_text("the D\ncat N\n\na D\ndog N\n\n" * 6),
        "--word-size 3 --character-size 2 --spelling-size 2",
    ),
    "forecast": Sample("load.csv", _load, "--lookback 5 --horizon 2"),
    "similar": Sample("alike.tsv", _alike, "--embedding-size 3"),
    "music": Sample("rolls.npz", _rolls, "--seq-length 6"),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("tasks")
        patch.chdir(folder)
        patch.setattr(os, "fsync", lambda file: None)
        patch.setattr(runs, "draw_curves", lambda *parts: None)
        for task, sample in SAMPLES.items():
            sample.write(folder / sample.file)
            words = ["train", sample.file, "--task", task, *SMALL.split(), *sample.options.split()]
            assert main([*words, "--quiet", "--out", task]) == 0
        yield folder


def test_every_task_is_damaged() -> None:
    assert {*SAMPLES, "language"} == set(TASKS)


@pytest.mark.slow
@pytest.mark.parametrize("task", SAMPLES)
def test_a_json_file_of_a_run_with_a_wrong_value(task: str, desk: Path, tmp_path: Path, capsys: Any) -> None:
    run = Path(shutil.copytree(desk / task, tmp_path / "run"))
    config = json.loads((run / "config.json").read_text())
    for name in ("config", *config["encoding"]):
        value = json.loads((run / f"{name}.json").read_text())
        refused = 0
        for number, damaged in enumerate(damages(value)):
            if number % 3:  # a third of all places and wrong values: every value in many places
                continue
            (run / f"{name}.json").write_text(json.dumps(damaged))
            well = ends_well(["train", "--resume", str(run), "--max-steps", "4"], capsys, (name, damaged))
            refused += not well
            if well:
                shutil.rmtree(run)
                shutil.copytree(desk / task, run)
        assert refused, f"no wrong value of {name}.json was refused"


@pytest.mark.slow
@pytest.mark.parametrize("task", SAMPLES)
def test_a_model_file_with_a_wrong_value(task: str, desk: Path, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "model.safetensors"
    shutil.copyfile(desk / task / "best" / "model.safetensors", file)
    head, rest = head_of(file)
    metadata = head["__metadata__"]
    cases = [
        (name, json.dumps(d)) for name in ("config", "encoding") for d in damages(json.loads(metadata[name]))
    ]
    cases += [(name, text) for name in metadata for text in ("", "9" * 10**4, "²", "[" * 10**5, "x" * 10**6)]
    refused = 0
    for number, (name, text) in enumerate(cases):
        write_head(file, head | {"__metadata__": metadata | {name: text}}, rest)
        verb = ("predict", "evaluate")[number % 2]
        refused += not ends_well(
            [verb, str(file), str(desk / SAMPLES[task].file)], capsys, (name, text[:99]), verb
        )
    assert refused > len(cases) // 3
