"""Generated data of every task, as large as a batch or some hundreds of them: for `benchmarks.tasks`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

SEED = 1
WORDS = [f"w{n}" for n in range(2000)]
FREQUENCY = 1 / np.arange(1, len(WORDS) + 1)
FREQUENCY /= FREQUENCY.sum()


class Job(NamedTuple):
    """The file of a task, how it is written, and options of ``train`` beside the task's own."""

    file: str
    write: Callable[[Path], Any]
    options: str = ""


def _random() -> np.random.Generator:
    return np.random.default_rng(SEED)


def sentences(count: int, least: int = 5, most: int = 30) -> Iterator[list[str]]:
    """Of words that are as unevenly frequent as those of a language."""
    random = _random()
    for length in random.integers(least, most, count):
        yield [WORDS[n] for n in random.choice(len(WORDS), length, p=FREQUENCY)]


def _rows(path: Path, rows: Iterator[str] | list[str], head: str = "") -> None:
    path.write_text(head + "".join(f"{row}\n" for row in rows))


def _text(path: Path) -> None:
    _rows(path, [" ".join(words) for words in sentences(5000)])


def _tagged(path: Path) -> None:
    _rows(path, ["".join(f"{word} T{int(word[1:]) % 12}\n" for word in words) for words in sentences(1000)])


def _labelled(path: Path) -> None:
    _rows(path, [f"{' '.join(words)},L{len(words) % 5}" for words in sentences(2000)], "text,label\n")


def _measured(path: Path) -> None:
    _rows(path, [f"{' '.join(words)},{len(words)}" for words in sentences(2000)], "text,target\n")


def _hours(path: Path) -> None:
    hours = np.datetime64("2020-01-01T00") + np.arange(4000)
    load = np.sin(np.arange(4000) / 24 * 2 * np.pi) + _random().normal(0, 0.1, 4000)
    _rows(path, [f"{hour}:00,{value:.4f}" for hour, value in zip(hours, load, strict=True)], "time,load\n")


def _clicks(path: Path) -> None:
    rows = (
        f"s{n},{item},{n * 100 + k}"
        for n, items in enumerate(sentences(2000, 3, 15))
        for k, item in enumerate(items)
    )
    _rows(path, rows, "session,item,time\n")


def _pairs(path: Path) -> None:
    _rows(path, [f"{' '.join(words)}\t{' '.join(reversed(words))}" for words in sentences(2000, 3, 12)])


def _images(path: Path) -> None:
    images = _random().integers(0, 256, (1000, 28, 28)).astype(np.uint8)
    np.savez(path, images=images, texts=np.array([" ".join(words) for words in sentences(1000, 1, 4)]))


def _sounds(path: Path) -> None:
    random, rows = _random(), []
    for n in range(64):
        soundfile.write(path.with_name(f"{n}.wav"), random.normal(0, 0.1, random.integers(4000, 16000)), 8000)
        rows.append(f"{n}.wav\t{'abcde'[: 1 + n % 5]}")
    _rows(path, rows, "file\ttext\n")


def _rolls(path: Path) -> None:
    random = _random()
    lengths = random.integers(100, 300, 60)
    np.savez(
        path, **{f"piece{n}": (random.random((T, 88)) < 0.04).astype(np.uint8) for n, T in enumerate(lengths)}
    )


JOBS = {
    "language": Job(
        "text.txt",
        _text,
        "--level word --embedding-size 200 --hidden-size 200 --batch-size 20 --seq-length 35",
    ),
    "tag": Job("words.txt", _tagged),
    "classify": Job("labelled.csv", _labelled, "--bidirectional"),
    "regress": Job("measured.csv", _measured, "--bidirectional"),
    "forecast": Job("hours.csv", _hours, "--lookback 96 --horizon 24"),
    "recommend": Job("clicks.csv", _clicks),
    "translate": Job("pairs.tsv", _pairs, "--attention"),
    "caption": Job("images.npz", _images, "--attention"),
    "transcribe": Job("sounds.tsv", _sounds),
    "music": Job("rolls.npz", _rolls),
    "similar": Job("pairs.tsv", _pairs, "--bidirectional"),
}
