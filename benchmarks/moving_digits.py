"""Clips in which a digit moves in one of eight directions, so that one frame alone cannot tell which.

``python -m benchmarks.moving_digits FOLDER --mnist MNIST`` writes ``train.npz`` and ``test.npz`` in FOLDER,
which ``backtime train --task classify`` reads: the digits of MNIST at half their size, those of its test part
in ``test.npz`` alone. Without ``--mnist`` the digits are drawn with seven segments. With ``--frames`` each
clip is a folder of pictures, ``train/DIRECTION/CLIP/FRAME.png``.

The place of the digit is drawn for each clip and it leaves at one edge to come back at the other, so frames
are spread alike in all directions; the direction is in their order only.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.images import read_idx

Images = NDArray[np.uint8]

DIRECTIONS = {  # rows down and columns to the right, a step
    "east": (0, 1),
    "southeast": (1, 1),
    "south": (1, 0),
    "southwest": (1, -1),
    "west": (0, -1),
    "northwest": (-1, -1),
    "north": (-1, 0),
    "northeast": (-1, 1),
}
SIDE, DIGIT, FRAMES, SPEEDS = 20, 14, 8, (1, 2, 3)  # pixels, pixels, steps, pixels a step
SEGMENTS = ["1110111", "0010010", "1011101", "1011011", "0111010"]
SEGMENTS += ["1101011", "1101111", "1010010", "1111111", "1111011"]
PLACES = [np.s_[2:4, 3:11], np.s_[2:8, 2:4], np.s_[2:8, 10:12], np.s_[6:8, 3:11]]
PLACES += [np.s_[6:12, 2:4], np.s_[6:12, 10:12], np.s_[10:12, 3:11]]


def clips(digits: Images, seed: int, number: int) -> dict[str, Any]:
    """``x`` (N, 8, 20, 20) and the names ``y`` (N,) of directions, of digits (M, 14, 14) drawn at random."""
    draw = np.random.default_rng(seed)
    names = list(DIRECTIONS)
    y = draw.integers(0, len(names), number)
    x = np.zeros((number, FRAMES, SIDE, SIDE), np.uint8)
    for n, label in enumerate(y):
        frame = np.zeros((SIDE, SIDE), np.uint8)
        frame[:DIGIT, :DIGIT] = digits[draw.integers(len(digits))]
        place, step = draw.integers(0, SIDE, 2), draw.choice(SPEEDS) * np.array(DIRECTIONS[names[label]])
        for t in range(FRAMES):
            x[n, t] = np.roll(frame, place + t * step, (0, 1))
    return {"x": x, "y": np.array(names)[y]}


def mnist(source: Path) -> Images:
    """The digits of an idx file at half their size."""
    images = np.stack([own.content for own in read_idx(source, labelled=False)])
    return images.reshape(-1, DIGIT, 2, DIGIT, 2).mean((2, 4)).astype(np.uint8)


def drawn(number: int, seed: int = 3) -> Images:
    """Digits of seven segments, each as dark as it is drawn: no two are the same."""
    draw, digits = np.random.default_rng(seed), np.zeros((number, DIGIT, DIGIT))
    for n in range(number):
        for place, on in zip(PLACES, SEGMENTS[n % 10], strict=True):
            digits[n][place] += (on == "1") * draw.uniform(150, 255)
    return digits.clip(0, 255).astype(np.uint8)


def write_frames(folder: Path, made: dict[str, Any]) -> None:
    """Write each clip as ``FOLDER/DIRECTION/CLIP/FRAME.png``."""
    from PIL import Image

    for n, (clip, label) in enumerate(zip(made["x"], made["y"], strict=True)):
        place = folder / str(label) / f"{n:05}"
        place.mkdir(parents=True)
        for t, frame in enumerate(clip):
            Image.fromarray(frame).save(place / f"{t}.png")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mnist", type=Path, help="folder of its four idx files")
    parser.add_argument("--clips", type=int, nargs=2, default=(20_000, 2_000), metavar=("TRAIN", "TEST"))
    parser.add_argument("--frames", action="store_true", help="folders of pictures")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, idx) in enumerate({"train": "train", "test": "t10k"}.items(), 1):
        digits = drawn(1_000, seed)
        if args.mnist:
            digits = mnist(args.mnist / f"{idx}-images-idx3-ubyte.gz")
        made = clips(digits, seed, args.clips[seed - 1])
        if args.frames:
            write_frames(args.folder / part, made)
        else:
            np.savez_compressed(args.folder / f"{part}.npz", **made)


if __name__ == "__main__":
    main()
