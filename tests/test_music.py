"""``--task music``: piano rolls and MIDI from files, the loss by its definition, the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backtime import tasks
from backtime.data.midi import read_midi, write_midi
from backtime.data.pianoroll import KEYS, note_name, read_parts
from backtime.errors import UsageError
from backtime.models.file import read_model
from backtime.models.piano import Piano
from backtime.models.piano_config import PianoConfig
from backtime.tasks.music.data import cut
from backtime.tasks.music.measuring import frame_losses, measure
from shell import backtime, printed

mido = pytest.importorskip("mido")
scipy_io = pytest.importorskip("scipy.io")
SMALL = ["--task", "music", "--hidden-size", 12, "--batch-size", 4, "--quiet", "--log-every", 5]


pytestmark = pytest.mark.usefixtures("quick_runs")


def piece(length: int, seed: int) -> np.ndarray:
    """A scale: one key, then the next one, from a random key on."""
    roll = np.zeros((length, KEYS), np.uint8)
    roll[np.arange(length), (np.arange(length) + np.random.default_rng(seed).integers(8)) % 8 + 30] = 1
    return roll


def rolls(name: str, number: int = 12) -> Path:
    """An archive with pieces of 9 to 20 frames in three parts."""
    pieces = {f"{part}_{n}": piece(9 + n, n) for part in ("train", "valid", "test") for n in range(number)}
    np.savez(name, **pieces)
    return Path(name)


# Files.


def test_rolls_of_matlab_and_numpy(tmp_path: Path) -> None:
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = piece(5, 0), piece(7, 1)
    scipy_io.savemat("p.mat", {"traindata": cells, "testdata": cells[:, :1]})
    parts = read_parts(Path("p.mat"), 4)
    assert {part: len(found) for part, found in parts.items()} == {"train": 2, "test": 1}
    np.testing.assert_array_equal(parts["train"][1].frames, piece(7, 1))
    wide = np.zeros((5, 128), bool)
    wide[:, 21:109] = piece(5, 0)
    np.savez("p.npz", one=wide, two=piece(3, 2))
    [one, two] = read_parts(Path("p.npz"), 4)[""]
    assert (one.name, two.name) == ("one", "two") and one.frames.dtype == np.float32
    np.testing.assert_array_equal(one.frames, piece(5, 0))


def test_names_of_keys() -> None:
    assert [note_name(key) for key in (0, 39, 48, 87)] == ["A0", "C4", "A4", "C8"]


@pytest.mark.parametrize("frames_per_beat", [1, 3, 4])
def test_midi_there_and_back(frames_per_beat: int) -> None:
    frames = (np.random.default_rng(0).random((40, KEYS)) < 0.2).astype(np.float32)
    frames[-1, 0] = 1  # silence at the end has no note to be read from
    write_midi(Path("a.mid"), frames, frames_per_beat, 90.0)
    np.testing.assert_array_equal(read_midi(Path("a.mid"), frames_per_beat), frames)
    file = mido.MidiFile("a.mid")
    assert abs(file.length - 40 / frames_per_beat * 60 / 90) < 0.01


def test_midi_of_several_tracks_with_notes_of_all_kinds() -> None:
    """Tracks are side by side; a note without end has none; drums, other pitches and short notes."""
    file = mido.MidiFile(ticks_per_beat=100)
    for channel, messages in (
        (0, [("note_on", 60, 0), ("note_off", 60, 100), ("note_on", 60, 0), ("note_on", 60, 50)]),
        (1, [("note_on", 64, 100), ("note_off", 64, 1), ("note_on", 5, 0), ("note_off", 5, 100)]),
        (9, [("note_on", 62, 0), ("note_off", 62, 100)]),
    ):
        track = mido.MidiTrack()
        track += [mido.Message(kind, note=n, time=t, channel=channel) for kind, n, t in messages]
        file.tracks.append(track)
    file.save("b.mid")
    found = read_midi(Path("b.mid"), 2)  # a frame is 50 ticks
    assert found.shape == (3, KEYS)
    assert found[:, 60 - 21].tolist() == [1, 1, 1] and found[:, 64 - 21].tolist() == [0, 0, 1]
    assert found.sum() == 4


def test_folders_of_midi() -> None:
    for name in ("train/a.mid", "train/deep/b.MID", "valid/c.midi", "test/d.mid"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        write_midi(Path(name), piece(6, 0).astype(np.float32), 2, 120)
    Path("train/notes.txt").write_text("no music")
    parts = read_parts(Path(), 2)
    assert {part: [roll.name for roll in found] for part, found in parts.items()} == {
        "test": ["test/d.mid"],
        "train": ["train/a.mid", "train/deep/b.MID"],
        "valid": ["valid/c.midi"],
    }
    assert [roll.name for roll in read_parts(Path("train/deep"), 2)[""]] == ["b.MID"]
    np.testing.assert_array_equal(parts["valid"][0].frames, piece(6, 0))


# The network.


def model() -> Piano:
    torch.manual_seed(0)
    return Piano(PianoConfig(cell="gru", hidden_size=6, layers=2, keys=KEYS)).double()


def test_the_loss_by_its_definition() -> None:
    """Each piece alone, frame by frame: the probability of what sounds, and of what does not."""
    network = model().eval()
    pieces = read_parts(rolls("r.npz", 4), 4)["train"]
    expected, later = 0.0, 0.0
    with torch.no_grad():
        for one in pieces:
            frames, state = torch.from_numpy(one.frames).double(), None
            before = torch.zeros(1, 1, KEYS, dtype=torch.float64)
            for t, frame in enumerate(frames):
                h, state = network.rnn(before, state)
                y = torch.sigmoid(network.head(h[0, 0]))
                loss = -(frame * y.log() + (1 - frame) * (1 - y).log()).sum().item()
                expected, later = expected + loss, later + loss * (t > 0)
                before = frame[None, None]
    network.float()
    total, after, frames_total, count = measure(network, pieces)
    # float32: some 1e-7 of each of 88 terms; 1e-5 is far above their sum's error and far below a wrong term
    assert total == pytest.approx(expected, rel=1e-5) and after == pytest.approx(later, rel=1e-5)
    assert (frames_total, count) == (9 + 10 + 11 + 12, 9 + 10 + 11 + 12 - 4)


def test_pieces_are_cut_without_losing_a_frame() -> None:
    [one] = read_parts(_saved(piece(10, 3)), 4)[""]
    parts = cut(one, 4)
    assert [len(x) for x, _ in parts] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([y for _, y in parts]), one.frames)
    whole = np.concatenate([x for x, _ in parts])
    np.testing.assert_array_equal(whole[1:], one.frames[:-1])
    assert not whole[0].any()
    losses, first = frame_losses(model().float(), parts)
    assert losses.shape == (10,) and first == 3


def _saved(*pieces: np.ndarray) -> Path:
    np.savez("saved.npz", *pieces)
    return Path("saved.npz")


def test_configurations_that_do_not_fit() -> None:
    config = PianoConfig(cell="gru", hidden_size=6, layers=1, keys=KEYS)
    assert PianoConfig.from_json(config.to_json()) == config
    config.check_encoding({"roll": {"keys": 88, "frames_per_beat": 4}})
    for encoding in ({}, {"roll": {"keys": 12, "frames_per_beat": 4}}, {"roll": {"keys": 88}}):
        with pytest.raises(UsageError, match="the roll is"):
            config.check_encoding(encoding)
    with pytest.raises(UsageError, match="forward alone"):
        PianoConfig(cell="gru", hidden_size=6, layers=1, keys=KEYS, bidirectional=True)


# The command line.


def test_from_rolls_to_new_music(capsys: pytest.CaptureFixture[str]) -> None:
    source = rolls("scales.npz")
    options = ["--cell", "gru", "--batch-size", 12, "--epochs", 100, "--lr", 0.03, "--validate-every", 50]
    options += ["--hidden-size", 32]
    backtime("train", source, *SMALL, *options, "--out", "run", "--frames-per-beat", 2)
    scores = json.loads(printed(capsys, "evaluate", "run", source, "--json"))
    assert scores["pieces"] == 12 and scores["frames"] == sum(range(9, 21))
    first = scores["nll_with_first"] * scores["frames"] - scores["nll"] * (scores["frames"] - 12)
    assert scores["nll"] < 0.4 and first / 12 > 2  # what follows is certain; of 8 beginnings log 8 = 2.08
    rows = [json.loads(line) for line in printed(capsys, "predict", "run", source).splitlines()]
    assert len(rows) == 36 and rows[24]["piece"] == "test_0"
    counts = [row["frames"] - 1 for row in rows[24:]]
    mean = np.average([row["nll"] for row in rows[24:]], weights=counts)
    assert mean == pytest.approx(scores["nll"], rel=1e-4)  # float32 in two orders
    np.savez("start.npz", piece(3, 0))
    options = ["--start", "start.npz", "--temperature", 0, "--length", 5, "--quiet", "--out", "new.mid"]
    text = printed(capsys, "sample", "run", *options)
    begun = int(np.flatnonzero(piece(3, 0)[-1])[0])
    expected = [(begun - 30 + k) % 8 + 30 for k in range(1, 6)]
    assert text.splitlines() == [note_name(key) for key in expected]
    frames = read_midi(Path("new.mid"), 2)
    np.testing.assert_array_equal(frames[:3], piece(3, 0))
    assert np.flatnonzero(frames[3:])[:1] % KEYS == expected[0] and frames.sum() == 8


def test_samples_are_those_of_the_seed(capsys: pytest.CaptureFixture[str]) -> None:
    backtime("train", rolls("r.npz"), *SMALL, "--max-steps", 2, "--out", "run")
    drawn = [printed(capsys, "sample", "run", "--length", 9, "--seed", seed, "--quiet") for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2] and drawn[0].count("\n") == 9


def test_its_resume_is_exact_and_its_models_begin_others() -> None:
    words = ["train", rolls("r.npz"), *SMALL, "--dropout", 0.2, "--layers", 2, "--seq-length", 8]
    backtime(*words, "--out", "whole", "--max-steps", 20)
    backtime(*words, "--out", "parts", "--max-steps", 9)
    backtime("train", "--resume", "parts", "--max-steps", 20, "--quiet")
    states = [load_file(f"{run}/last/state.safetensors") for run in ("whole", "parts")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    backtime("train", "r.npz", "--task", "music", "--init-from", "whole", "--max-steps", 1, "--quiet")
    assert read_model("runs/r-lstm-1").config.shapes() == read_model("whole").config.shapes()


def test_predicts_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    backtime("train", rolls("r.npz"), *SMALL, "--max-steps", 2, "--out", "run")
    expected = printed(capsys, "predict", "run", "r.npz")
    code = "import sys; sys.modules['torch'] = None; from backtime.cli.main import main; main(sys.argv[1:])"
    words = [sys.executable, "-c", code, "predict", "run", "r.npz"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (expected, "")
    assert tasks.load("run").__class__.__module__ == "backtime.runtime.piano"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["train", "--task", "music"], "--task music needs DATA: a MIDI file, a folder of them"),
        (["train", "song.txt", *SMALL], "song.txt has no known ending; expected a MIDI file"),
        (["train", "broken.mid", *SMALL], "broken.mid is no MIDI file: MThd not found"),
        (["train", "broken.mat", *SMALL], "broken.mat is no MATLAB file that can be read"),
        (["train", "broken.npz", *SMALL], "broken.npz is no .npz file of numbers"),
        (["train", "gone.npz", *SMALL], "cannot read gone.npz: No such file or directory"),
        (["train", "gone.mid", *SMALL], "cannot read gone.mid: No such file or directory"),
        (["train", "other.mat", *SMALL], "other.mat has x; expected traindata, validdata, testdata"),
        (["train", "empty", *SMALL], "empty has no piece; expected a MIDI file"),
        (["train", "nan.npz", *SMALL], "nan.npz: a, frame 2, key 4, is nan; expected 0 or 1"),
        (["train", "loud.npz", *SMALL], "loud.npz: a, frame 1, key 1, is 90; expected 0 or 1"),
        (["train", "none.npz", *SMALL], "none.npz: a has no frame"),
        (["train", "narrow.npz", *SMALL], "a has shape (5, 12), type float64; expected (frames, 88)"),
        (["train", "pickled.npz", *SMALL], "pickled.npz is no .npz file of numbers"),
        (["train", "test.npz", *SMALL], "test.npz has the part test alone; expected train"),
        (["train", "one.npz", *SMALL], "one.npz has 1 piece; expected 2 or more"),
        (["train", "r.npz", *SMALL, "--init-from", "run", "--frames-per-beat", 3], "3 conflicts with 4"),
        (["evaluate", "run", "train.npz"], "train.npz has no part test; it has train"),
        (["predict", "run"], "predict needs a FILE"),
        (["predict", "run", "r.npz", "--picture", "x.svg"], "predictions of this task cannot be drawn"),
        (["sample", "run", "--out", "x.wav"], "--out x.wav: expected a name that ends in .mid"),
        (["sample", "run", "--out", "no/x.mid"], "a name that ends in .mid, in a folder that is there"),
        (["sample", "run", "--temperature", -1], "temperature is -1.0; expected a number from 0"),
        (["sample", "run", "--tempo", 0], "tempo is 0.0; expected 4 to 1000"),
        (["sample", "run", "--start", "gone.npz"], "cannot read gone.npz"),
    ],
)  # fmt: skip
def test_what_is_refused_in_one_line(
    words: list[Any], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    backtime("train", rolls("r.npz", 3), *SMALL, "--max-steps", 1, "--out", "run")
    for name in ("song.txt", "broken.mid", "broken.mat", "broken.npz"):
        Path(name).write_bytes(b"la la la")
    Path("empty").mkdir()
    scipy_io.savemat("other.mat", {"x": np.zeros(3)})
    bad = np.zeros((5, KEYS))
    bad[1, 3] = np.nan
    np.savez("nan.npz", a=bad)
    np.savez("loud.npz", a=np.full((5, KEYS), 90))
    np.savez("none.npz", a=np.zeros((0, KEYS)))
    np.savez("narrow.npz", a=np.zeros((5, 12)))
    np.savez("pickled.npz", a=np.array([None, 1]))
    np.savez("test.npz", test_1=piece(5, 0))
    np.savez("train.npz", train_1=piece(5, 0))
    np.savez("one.npz", a=piece(5, 0))
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    backtime(*words, status=2)
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and reason in error, error
    assert sorted(Path().rglob("*")) == before  # nothing was written
