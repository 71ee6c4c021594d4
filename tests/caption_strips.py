"""Images of strips of digits, and files of them."""

from typing import Any

import numpy as np

NAMES = ["zero", "one", "two", "three"]
GLYPHS = ["###|#.#|#.#|#.#|###", ".#.|.#.|.#.|.#.|.#.", "###|..#|###|#..|###", "###|..#|.##|..#|###"]
SMALL = ["--hidden-size", "64", "--embedding-size", "8", "--filters", "8", "--blocks", "2", "--dropout", "0"]
SMALL += ["--batch-size", "16", "--lr", "0.003", "--schedule", "cosine", "--quiet"]


def drawn(digits: Any, random: np.random.Generator) -> Any:
    """Digits side by side, each somewhere in its 8 x 8 pixels, with noise."""
    strip = random.integers(0, 60, (8, 8 * len(digits))).astype(np.uint8)
    for n, digit in enumerate(digits):
        row, column = random.integers(0, 4), 8 * n + random.integers(0, 6)
        glyph = np.array([[pixel == "#" for pixel in line] for line in GLYPHS[digit].split("|")])
        strip[row : row + 5, column : column + 3] += (glyph * random.integers(120, 190)).astype(np.uint8)
    return strip


def strips(count: int, seed: int, length: int = 3) -> tuple[Any, list[str]]:
    random = np.random.default_rng(seed)
    digits = random.integers(0, len(GLYPHS), (count, length))
    return np.stack([drawn(own, random) for own in digits]), [
        " ".join(NAMES[d] for d in own) for own in digits
    ]
