"""Clips, frames of pixels: from folders, animated pictures and archives; a digit that moves is learned."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtime import tasks
from backtime.data.examples import Example
from backtime.data.labelled import Reading, read_labelled, read_unlabelled
from backtime.errors import UsageError
from shell import answers, backtime

Image = pytest.importorskip("PIL.Image", reason="the extra images")
ROOT = Path(__file__).parents[1]
MNIST = ROOT.parent / "shared" / "data" / "mnist"
TRAIN = ["--task", "classify", "--hidden-size", 128, "--dropout", 0.1, "--lr", 0.003, "--schedule", "cosine"]


pytestmark = pytest.mark.usefixtures("quick_runs")


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The maker of the clips."""
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.moving_digits")


def by_label(found: list[Example]) -> list[tuple[str | None, bytes, tuple[int, ...]]]:
    return sorted((own.label, own.content.tobytes(), own.content.shape) for own in found)


def test_a_folder_an_archive_and_animated_pictures_are_the_same(moving: Any) -> None:
    made = moving.clips(moving.drawn(10), 1, 12)
    np.savez("clips.npz", **made)
    moving.write_frames(Path("clips"), made)
    for n, (clip, label) in enumerate(zip(made["x"], made["y"], strict=True)):
        first, *others = (Image.fromarray(frame) for frame in clip)
        Path("animated", label).mkdir(parents=True, exist_ok=True)
        first.save(f"animated/{label}/{n}.tiff", save_all=True, append_images=others)
    archive, folder, animated = (
        by_label(list(read_labelled(Path(name), Reading()))) for name in ("clips.npz", "clips", "animated")
    )
    assert archive == folder == animated
    assert {shape for _, _, shape in archive} == {(8, 400)}
    [own, *_] = read_unlabelled(Path("clips", made["y"][0]), Reading(), texts=False)
    assert own.label is None and own.size == "20 x 20"


def test_clips_of_unequal_length(moving: Any) -> None:
    x, y = moving.clips(moving.drawn(10), 1, 3).values()
    np.savez("padded.npz", x=x, y=y, lengths=[8, 3, 5])
    np.savez("joined.npz", x=np.concatenate([x[0], x[1, :3], x[2, :5]]), y=y, lengths=[8, 3, 5])
    padded, joined = (list(read_labelled(Path(name), Reading())) for name in ("padded.npz", "joined.npz"))
    assert [own.content.shape for own in padded] == [(8, 400), (3, 400), (5, 400)]
    assert by_label(padded) == by_label(joined)


def test_what_is_no_clip(moving: Any) -> None:
    moving.write_frames(Path("clips"), moving.clips(moving.drawn(10), 1, 2))
    frame = next(Path("clips").glob("*/*/3.png"))
    first, *others = (Image.fromarray(np.full((20, 20), n, np.uint8)) for n in range(4))
    first.save(frame.with_suffix(".tiff"), save_all=True, append_images=others)
    with pytest.raises(UsageError, match=r"3\.tiff has 4 frames of its own; expected one, as a frame of a"):
        list(read_labelled(Path("clips"), Reading()))
    frame.with_suffix(".tiff").unlink()
    Path("clips", "north", "empty").mkdir(parents=True)
    with pytest.raises(UsageError, match="empty has no pictures; expected the frames of a clip"):
        list(read_labelled(Path("clips"), Reading()))


def test_one_frame_alone_cannot_tell(moving: Any) -> None:
    """At every place of the canvas, each direction is as bright on average: the order alone tells."""
    x, y = moving.clips(np.full((1, 14, 14), 255, np.uint8), 1, 1_600).values()
    every = [x[y == name, 3].mean(0) for name in moving.DIRECTIONS]
    assert np.ptp(every, axis=0).max() < 0.4 * 255  # noise of 200 clips each
    assert abs(np.array(every) - 255 * (14 / 20) ** 2).mean() < 0.04 * 255


def test_the_command_line_learns_from_folders(moving: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Two directions of four, on few clips."""
    x, y = moving.clips(moving.drawn(20), 1, 400).values()
    kept = np.isin(y, ["east", "west"])
    moving.write_frames(Path("clips"), {"x": x[kept], "y": y[kept]})
    words = ["--task", "classify", "--hidden-size", 24, "--batch-size", 8, "--lr", 0.01, "--dropout", 0]
    backtime("train", "clips", *words, "--epochs", 8, "--quiet", "--out", "run", "--seed", 3)
    backtime("evaluate", "run", "clips", "--json")
    assert answers(capsys)[-1]["accuracy"] > 0.9  # guessing has 0.5
    backtime("predict", "run", "clips/east")
    rows = answers(capsys)
    assert len(rows) == (y == "east").sum() and {row["label"] for row in rows} <= {"east", "west"}
    [again] = tasks.load("run").predict([x[kept][0].reshape(8, 400)])
    assert again["label"] in ("east", "west")
    np.savez("larger.npz", x=np.zeros((1, 8, 30, 30), np.uint8))
    backtime("predict", "run", "larger.npz", status=2)
    assert "larger.npz record 0 is 30 x 30; expected 20 x 20, as in training" in capsys.readouterr().err


@pytest.mark.slow
def test_a_moving_digit(
    moving: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least 98 %; a clip that stands still at any of its frames is no better than a guess of eight.

    Frames out of order still tell the line, but not which way along it: less than one of two.
    """
    words = ["moving_digits", "moving", "--clips", "6000", "500"]
    monkeypatch.setattr("sys.argv", [*words, *(["--mnist", str(MNIST)] if MNIST.is_dir() else [])])
    moving.main()
    backtime("train", "moving/train.npz", *TRAIN, "--epochs", 10, "--quiet", "--out", "run")
    backtime("evaluate", "run", "moving/test.npz", "--json")
    [found] = answers(capsys)
    assert found["accuracy"] >= 0.98
    with np.load("moving/test.npz") as archive:
        x, y = archive["x"], archive["y"]
    random = np.random.default_rng(0)
    frames = np.tile(np.arange(8), (len(x), 1))
    still = np.repeat(random.integers(0, 8, (len(x), 1)), 8, axis=1)
    for name, order, bound in (("still", still, 0.25), ("mixed", random.permuted(frames, axis=1), 0.5)):
        np.savez(f"{name}.npz", x=np.take_along_axis(x, order[:, :, None, None], 1), y=y)
        backtime("evaluate", "run", f"{name}.npz", "--json")
        [found] = answers(capsys)
        assert found["accuracy"] < bound, name
