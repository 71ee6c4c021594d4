"""Transcription: tones that spell, features and search against their definitions, bad input."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from backtime import tasks
from backtime.cli.main import main
from backtime.data.audio import FLOOR, Hearing, log_mel, read_sound, triangles
from backtime.models.saving import load_model
from backtime.runtime.transcriber import best_text

RATE = 8000
TONES = {"a": 400, "b": 900, "c": 1700}
SMALL = [
    "--hidden-size",
    "24",
    "--layers",
    "1",
    "--dropout",
    "0",
    "--batch-size",
    "8",
    "--lr",
    "0.01",
    "--quiet",
]


def spoken(text: str, random: np.random.Generator) -> Any:
    """A tone for each letter, of any length, with a pause between."""
    parts = [np.zeros(int(random.integers(100, 400)))]
    for letter in text:
        n = int(random.integers(700, 1400))
        parts += [0.5 * np.sin(2 * np.pi * TONES[letter] * np.arange(n) / RATE), np.zeros(300)]
    sound = np.concatenate(parts)
    return (sound + random.normal(0, 0.01, len(sound))).astype(np.float32)


def write_corpus(folder: Path, count: int, seed: int) -> Path:
    random, rows = np.random.default_rng(seed), ["file\ttext"]
    for n in range(count):
        text = "".join(random.choice(list(TONES), random.integers(1, 5)))
        soundfile.write(folder / f"{seed}-{n}.wav", spoken(text, random), RATE)
        rows.append(f"{seed}-{n}.wav\t{text}")
    manifest = folder / f"{seed}.tsv"
    manifest.write_text("\n".join(rows) + "\n")
    return manifest


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    words = ["train", str(write_corpus(folder, 120, 1)), "--task", "transcribe", *SMALL, "--epochs", "18"]
    assert main([*words, "--schedule", "cosine", "--out", str(folder / "run")]) == 0
    return folder


def test_it_learns_which_tone_spells_which_letter(home: Path, capsys: Any) -> None:
    assert main(["evaluate", str(home / "run"), str(write_corpus(home, 30, 2)), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cer"] < 0.05 and found["wer"] < 0.15 and found["exact"] > 0.85 and found["utterances"] == 30
    assert main(["predict", str(home / "run"), str(home / "2-0.wav")]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["text"] == (home / "2.tsv").read_text().splitlines()[1].split("\t")[1]


def test_the_runtime_computes_what_the_network_does(home: Path) -> None:
    network, _ = load_model(home / "run")
    own: Any = tasks.load(home / "run")
    record = next(iter(own.read(home / "1-3.wav")))
    x = torch.from_numpy((record.features - own.scale.mean) / own.scale.deviation)[:, None]
    with torch.no_grad():
        logs = torch.log_softmax(network.eval()(x, torch.tensor([len(x)])), 2)[:, 0]
    np.testing.assert_allclose(own.logs(record.features), logs.numpy(), atol=1e-4)


def test_resume_is_exact(home: Path, tmp_path: Path) -> None:
    words = ["train", str(home / "1.tsv"), "--task", "transcribe", *SMALL, "--save-every", "4"]
    assert main([*words, "--max-steps", "12", "--out", str(tmp_path / "whole")]) == 0
    assert main([*words, "--max-steps", "7", "--out", str(tmp_path / "parts")]) == 0
    assert main(["train", "--resume", str(tmp_path / "parts"), "--max-steps", "12", "--quiet"]) == 0
    ends = [(tmp_path / run / "last" / "model.safetensors").read_bytes() for run in ("whole", "parts")]
    assert ends[0] == ends[1]


def test_the_search_finds_the_text_with_the_most_alignments() -> None:
    """Every path of 4 steps over blank and two characters, collapsed and added up by hand."""
    random = np.random.default_rng(0)
    for _ in range(20):
        logs = np.log(random.dirichlet(np.ones(3), 4))
        totals: dict[tuple[int, ...], float] = {}
        for path in itertools.product(range(3), repeat=4):
            text = tuple(n for n, _ in itertools.groupby(path) if n)
            p = float(np.exp(sum(logs[t, n] for t, n in enumerate(path))))
            totals[text] = totals.get(text, 0.0) + p
        best = max(totals, key=lambda text: totals[text])
        found, score = best_text(logs, beam=100)
        assert tuple(found) == best and score == pytest.approx(np.log(totals[best]))


def test_features_of_a_tone_are_where_the_tone_is() -> None:
    t = np.arange(RATE) / RATE
    found = log_mel(np.sin(2 * np.pi * 1000 * t).astype(np.float32), RATE)
    assert found.shape == (98, 40) and found.dtype == np.float32
    frequencies = np.fft.rfftfreq(200, 1 / RATE)
    loudest = triangles(RATE)[found.mean(0).argmax()]
    assert abs(frequencies[loudest.argmax()] - 1000) <= 80
    np.testing.assert_allclose(log_mel(np.zeros(RATE, np.float32), RATE), np.log(FLOOR), rtol=1e-6)
    frame = np.sin(2 * np.pi * 1000 * t[:200]) * np.hanning(200)
    by_hand = np.array(
        [abs(sum(frame * np.exp(-2j * np.pi * k * np.arange(200) / 200))) ** 2 / 200 for k in range(101)]
    )
    np.testing.assert_allclose(found[0], np.log(triangles(RATE) @ by_hand + FLOOR), rtol=1e-4)


def test_another_rate_is_brought_to_ours_and_short_sound_is_a_step(tmp_path: Path) -> None:
    t = np.arange(16000) / 16000
    soundfile.write(tmp_path / "fast.wav", np.sin(2 * np.pi * 500 * t), 16000)
    found = read_sound(tmp_path / "fast.wav", 8000)
    assert len(found) == 8000
    np.testing.assert_allclose(found[100:-100], np.sin(2 * np.pi * 500 * t[::2])[100:-100], atol=0.01)
    assert Hearing(8000, 3).steps(np.ones(10, np.float32)).shape == (1, 120)


def bad_files(folder: Path) -> None:
    soundfile.write(folder / "stereo.wav", np.zeros((100, 2)), RATE)
    soundfile.write(folder / "empty.wav", np.zeros(0), RATE)
    soundfile.write(folder / "nan.wav", np.array([0, np.nan]), RATE, subtype="FLOAT")
    (folder / "broken.wav").write_bytes(b"RIFF0000WAVE")


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("stereo.wav\ta", "line 2: {}/stereo.wav has 2 channels; expected one"),
        ("empty.wav\ta", "empty.wav has no sound in it"),
        ("nan.wav\ta", "nan.wav has nan at sample 1"),
        ("broken.wav\ta", "broken.wav is no sound file"),
        ("gone.wav\ta", "gone.wav: no such file"),
        ("stereo.wav\t", "line 2 has no text"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(row: str, line: str, tmp_path: Path, capsys: Any) -> None:
    bad_files(tmp_path)
    (tmp_path / "all.tsv").write_text(f"file\ttext\n{row}\n")
    words = ["train", str(tmp_path / "all.tsv"), "--task", "transcribe", "--out", str(tmp_path / "run")]
    assert main(words) == 2
    found = capsys.readouterr().err
    assert line.format(tmp_path) in found and found.count("\n") == 1 and not (tmp_path / "run").exists()


def test_a_character_that_training_lacks_is_named(home: Path, tmp_path: Path, capsys: Any) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(800), RATE)
    (tmp_path / "more.tsv").write_text("file\ttext\nx.wav\tz\n")
    words = ["train", str(home / "1.tsv"), "--task", "transcribe", "--valid-file", str(tmp_path / "more.tsv")]
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    assert "x.wav: the character 'z' was not in training" in capsys.readouterr().err
